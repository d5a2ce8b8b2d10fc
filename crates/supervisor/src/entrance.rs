//! How a process of the ecosystem comes to be: the supervisor's own program is run again, makes itself what the child
//! has to be, and then becomes the child's program.
//!
//! That costs a second exec a start, and buys: no code between fork and exec, hence no `unsafe`; errors with their
//! cause; and a supervisor that does not wait while the child gets ready.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};

/// Argument 0 of the supervisor's program when it is to become a child.
const CALLED: &str = "roster-entrance";

/// The proof that `main` lets children through, and where its program is.
#[derive(Clone, Debug)]
pub struct Entrance {
    program: PathBuf,
}

impl Entrance {
    /// The first thing that `main` does, with all its arguments. In a child this does not return.
    pub fn pass(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments = arguments.into_iter();
        if arguments.next().is_some_and(|it| it == CALLED) {
            enter(arguments);
        }
        // The program that runs now, even if its file has been replaced meanwhile.
        Self { program: "/proc/self/exe".into() }
    }

    /// The command that becomes `script` in a session of its own, is killed when the calling thread ends, and has no
    /// open files but its output. What keeps it from that is written to its standard input, which has to be a pipe.
    pub(crate) fn command(&self, cwd: &str, script: &str, args: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0(CALLED).arg(std::process::id().to_string()).arg(cwd).arg(script).args(args);
        command
    }
}

/// Becomes the child, or says why not and ends.
fn enter(arguments: impl Iterator<Item = OsString>) -> ! {
    let report = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
    let why = become_child(arguments);
    if let Ok(report) = report {
        // Nobody else can be told if this fails too.
        let _ = std::fs::File::from(report).write_all(why.as_bytes());
    }
    std::process::exit(127)
}

/// Returns only if it fails.
fn become_child(mut arguments: impl Iterator<Item = OsString>) -> String {
    let (Some(parent), Some(cwd), Some(script)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return "the entrance was called without its arguments".into();
    };
    let prepared = || -> io::Result<()> {
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        // Everything else that is open belongs to whoever started the supervisor.
        close_fds::set_fds_cloexec(3, &[]);
        setsid()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    if let Err(error) = prepared() {
        return format!("a session of its own: {error}");
    }
    // It may have ended before the line above.
    if getppid().is_none_or(|it| parent.to_str() != Some(&it.as_raw_nonzero().to_string())) {
        return "the supervisor ended".into();
    }
    if let Err(error) = rustix::process::chdir(PathBuf::from(&cwd)) {
        return format!("its working directory `{}` cannot be entered: {error}", cwd.display());
    }
    let error = Command::new(&script).args(arguments).stdin(Stdio::inherit()).exec();
    format!("its program `{}` cannot be run: {error}", script.display())
}
