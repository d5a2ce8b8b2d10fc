//! What a supervisor that has nothing to do need not keep in memory.
//!
//! A program's code comes into memory with its first use and stays: of a large program that is mostly what read its
//! arguments and documents, and is not used again. It can be had from its file at any time. What was freed stays with the
//! allocator, in pieces between what is in use.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::thread::{Builder, sleep};
use std::time::Duration;

use crate::spawn;

/// Until everybody else waits for something to happen: who is still on his way there maps again what he comes by.
const SILENCE: Duration = Duration::from_millis(100);

/// Gives memory back, from a thread that ends then: the pages that were freed, and our program's code and constants. What
/// is used again comes back from the file, or from the kernel's memory of it, within microseconds.
pub(crate) fn begin() {
    let rest = || {
        sleep(SILENCE);
        give_back();
    };
    // Without a thread for it, it stays.
    let _ = Builder::new().name("rest".into()).spawn(rest);
}

fn give_back() {
    spawn::trim();
    let texts = (fs::read_to_string("/proc/self/smaps"), fs::read_link("/proc/self/exe"));
    if let (Ok(smaps), Ok(program)) = texts {
        unchanged(&smaps, &program).into_iter().for_each(spawn::forget);
    }
}

/// The mappings of the program that may not be written to and hold nothing but what is in the file
/// (`proc_pid_smaps(5)`). Libraries are left alone: another thread may be just loading one.
fn unchanged(smaps: &str, program: &Path) -> Vec<Range<usize>> {
    let (mut found, mut mapping) = (Vec::new(), None);
    for line in smaps.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [range, rights, _, _, _, path] if Path::new(path) == program && !rights.contains('w') => {
                let address = |it| usize::from_str_radix(it, 16).ok();
                mapping = range.split_once('-').and_then(|(from, to)| Some(address(from)?..address(to)?));
            }
            ["Anonymous:", "0", "kB"] => found.extend(mapping.take()),
            [name, ..] if name.ends_with(':') => {}
            _ => mapping = None,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_given_back() {
        let smaps = "\
            1000-3000 r--p 00000000 fe:00 7 /bin/roster\nRss: 8 kB\nAnonymous: 0 kB\n\
            3000-4000 r-xp 00002000 fe:00 7 /bin/roster\nAnonymous: 4 kB\n\
            4000-5000 rw-p 00003000 fe:00 7 /bin/roster\nAnonymous: 0 kB\n\
            5000-6000 r-xp 00000000 00:00 0 [vdso]\nAnonymous: 0 kB\n\
            6000-7000 r--p 00000000 00:00 0\nAnonymous: 0 kB\n\
            7000-a000 r-xp 00004000 fe:00 7 /bin/roster\nAnonymous: 0 kB\n\
            b000-c000 r-xp 00000000 fe:00 9 /lib/libc.so.6\nAnonymous: 0 kB\n";
        assert_eq!(unchanged(smaps, Path::new("/bin/roster")), [0x1000..0x3000, 0x7000..0xa000]);
    }

    #[test]
    fn a_program_goes_on_without_its_code() {
        let own = || {
            let program = fs::read_link("/proc/self/exe").unwrap();
            unchanged(&fs::read_to_string("/proc/self/smaps").unwrap(), &program)
        };
        let before = own();
        assert!(!before.is_empty());
        give_back();
        assert_eq!(own(), before);
    }
}
