//! Files in a folder: what is kept, what goes, and what is read back.

use std::fs;
use std::io::Read;
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A log that is written to without a pipe.
struct Written {
    folder: TempDir,
    archive: Arc<Archive>,
    logs: BTreeMap<&'static str, Log>,
    now: Duration,
}

impl Written {
    fn new(keep: Keep) -> Self {
        let archive = Arc::new(Archive::new(keep));
        Self { folder: tempfile::tempdir().unwrap(), archive, logs: BTreeMap::new(), now: Duration::ZERO }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("deep").join(name)
    }

    fn write(&mut self, name: &'static str, bytes: &[u8]) {
        let path = self.path(name);
        let log = self.logs.entry(name).or_insert_with(|| Log::open(&path, &self.archive).unwrap());
        log.write(bytes, UNIX_EPOCH + Duration::from_hours(24 * 365 * 100) + self.now);
    }

    /// The files of a log by name, the oldest first.
    fn files(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        for suffix in (0..100).rev().flat_map(|it| [format!(".{it}"), format!(".{it}.gz")]) {
            let suffix = if suffix == ".0" { String::new() } else { suffix };
            if let Ok(bytes) = fs::read(self.path(&format!("{name}{suffix}"))) {
                found.push((format!("{name}{suffix}"), bytes));
            }
        }
        found
    }

    fn show(&self, name: &str) -> String {
        let lines = self.files(name).into_iter().map(|(name, it)| format!("{name}: {}", it.escape_ascii()));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn wait_until(&self, what: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while !what(self) {
            assert!(
                std::time::Instant::now() < deadline,
                "{:?}",
                fs::read_dir(self.path("")).unwrap().collect::<Vec<_>>()
            );
            std::thread::yield_now();
        }
    }
}

fn keep(bytes: u64, files: u32) -> Keep {
    Keep { bytes, files, total: None, ..Keep::default() }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_and_lines_stay_whole(
        lines in prop::collection::vec(prop::collection::vec(0_u8..=255, 0..40), 0..40),
        chunk in 1_usize..100,
    ) {
        let mut log = Written::new(keep(64, 99));
        let bytes = lines.iter().flat_map(|it| it.iter().copied().filter(|it| *it != b'\n').chain([b'\n'])).collect::<Vec<_>>();
        bytes.chunks(chunk).for_each(|it| log.write("x", it));
        let files: Vec<Vec<u8>> = log.files("x").into_iter().map(|(_, it)| it).collect();
        prop_assert_eq!(files.concat(), bytes);
        for it in &files {
            prop_assert!(it.len() <= 64 + 41, "{} bytes", it.len());
            prop_assert!(it.is_empty() || it.ends_with(b"\n"));
        }
    }

    #[test]
    fn the_last_lines_are_those_of_all_files_together(
        text in "[ab\n]{0,120}",
        packed in 0_usize..4,
        lines in 0_usize..30,
    ) {
        let mut log = Written::new(keep(24, 99));
        log.write("x", text.as_bytes());
        // The oldest of the files are as an earlier supervisor has left them.
        for (name, bytes) in log.files("x").into_iter().filter(|(name, _)| name != "x").take(packed) {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, &bytes).unwrap();
            fs::write(log.path(&format!("{name}.gz")), gzip.finish().unwrap()).unwrap();
            fs::remove_file(log.path(&name)).unwrap();
        }
        let expected: Vec<&str> = text.split_inclusive('\n').collect();
        let expected = expected[expected.len().saturating_sub(lines)..].concat();
        let read = read_all(&Logs::new(keep(24, 99)), &log.path("x"), lines);
        prop_assert_eq!(String::from_utf8(read).unwrap(), expected);
    }
}

fn read_all(logs: &Logs, path: &Path, lines: usize) -> Vec<u8> {
    let mut reader = logs.read(path, lines, false).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        while let Some(it) = reader.next().await.unwrap() {
            all.extend(it);
        }
        all
    })
}

#[test]
fn the_oldest_file_goes_and_a_line_without_end_is_cut() {
    let mut log = Written::new(keep(10, 2));
    for it in ["aaaaaaaa\n", "bbbbbbbb\n", "cccccccc\n", "dddddddd\n", "eeeeeeee", &"f".repeat(40)] {
        log.write("x", it.as_bytes());
    }
    insta::assert_snapshot!(log.show("x"), @r"
    x.2: dddddddd\n
    x.1: eeeeeeee
    x: ffffffffffffffffffffffffffffffffffffffff
    ");
}

#[test]
fn a_line_that_was_begun_before_a_restart_is_not_cut() {
    let mut log = Written::new(keep(10, 2));
    log.write("x", b"1234567");
    log.logs.clear();
    log.write("x", b"89abc\nnext\n");
    insta::assert_snapshot!(log.show("x"), @r"
    x.1: 123456789abc\n
    x: next\n
    ");
}

#[test]
fn an_old_file_is_put_away_at_the_next_line() {
    let mut log = Written::new(Keep { age: Some(Duration::from_mins(1)), ..keep(1000, 5) });
    log.write("x", b"the file is made here,\nin a year long ago\nand th");
    log.write("x", b"ere\nnow\n");
    log.now = Duration::from_secs(59);
    log.write("x", b"young enough\n");
    log.now = Duration::from_mins(1);
    log.write("x", b"the next\n");
    insta::assert_snapshot!(log.show("x"), @r"
    x.2: the file is made here,\nin a year long ago\nand there\n
    x.1: now\nyoung enough\n
    x: the next\n
    ");
}

#[test]
fn without_old_files_there_is_one() {
    let mut log = Written::new(keep(10, 0));
    log.write("x", b"aaaaaaaa\nbbbbbbbb\ncc\n");
    insta::assert_snapshot!(log.show("x"), @r"x: cc\n");
}

#[test]
fn what_is_put_away_is_compressed_whatever_a_crash_has_left() {
    let mut log = Written::new(Keep { gzip: true, ..keep(10, 3) });
    let file = |name: &str, text: &[u8]| {
        fs::create_dir_all(log.path("")).unwrap();
        fs::write(log.path(name), text).unwrap();
    };
    // Killed while it made the second of these, and between the two steps that replace the third.
    file("x.1", b"second\n");
    file("x.gz.unfinished", b"half");
    file("x.next", b"");
    file("x.2", b"first\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"first\n").unwrap();
    file("x.2.gz", &gzip.finish().unwrap());

    log.write("x", b"third\n");
    log.wait_until(|it| it.path("x.1.gz").exists() && !it.path("x.1").exists());
    log.write("x", b"fourth\n");
    log.wait_until(|it| it.path("x.1.gz").exists() && !it.path("x.1").exists());
    let shown: Vec<String> = log
        .files("x")
        .into_iter()
        .map(|(name, bytes)| {
            let text = if bytes.starts_with(&[0x1F, 0x8B]) { unpacked(&bytes) } else { bytes };
            format!("{name}: {}", text.escape_ascii())
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    x.3.gz: first\n
    x.2.gz: second\n
    x.1.gz: third\n
    x: fourth\n
    ");
    assert!(!log.path("x.gz.unfinished").exists() && !log.path("x.next").exists());
}

#[test]
fn the_cap_takes_from_the_greediest_and_never_what_is_written_to() {
    const KIB: usize = 1 << 10;
    let mut log = Written::new(Keep { total: Some(1 << 20), ..keep(10 << 20, 99) });
    log.write("calm", &[b"c".repeat(60 * KIB), b"\n".to_vec()].concat());
    log.write("busy", b"busy\n");
    // Half of the cap, in two shares.
    for _ in 0..3 {
        log.write("calm", &[b"c".repeat(100 * KIB), b"\n".to_vec()].concat());
    }
    let calm = log.files("calm");
    assert_eq!(calm.len(), 2, "{:?}", calm.iter().map(|it| &it.0).collect::<Vec<_>>());
    for _ in 0..100 {
        log.write("busy", &[b"b".repeat(60 * KIB), b"\n".to_vec()].concat());
    }
    assert!(log.files("calm") == calm);
    let busy = log.files("busy");
    let size = |it: &[(String, Vec<u8>)]| it.iter().map(|it| it.1.len()).sum::<usize>();
    assert!(size(&calm) + size(&busy) <= 1 << 20, "{}", size(&calm) + size(&busy));
    assert!(size(&busy) > 300 * KIB, "{}", size(&busy));
}

#[tokio::test]
async fn what_follows_sees_every_byte_once_through_any_number_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.log");
    let logs = Logs::new(keep(1000, 2000));
    let pipe = logs.open(&path, "x", Stream::Stdout).unwrap();
    let mut writer = fs::File::from(pipe.writer().unwrap());
    std::io::Write::write_all(&mut writer, b"before\nlast\n").unwrap();
    let mut seen = Vec::new();
    while !read_last(&logs, &path).await.ends_with(b"last\n") {
        tokio::task::yield_now().await;
    }
    let mut reader = logs.read(&path, 1, true).unwrap();
    let lines: Vec<u8> = (0..20_000).flat_map(|it| format!("line {it}\n").into_bytes()).collect();
    let expected = [b"last\n", &lines[..]].concat();
    let writing =
        tokio::task::spawn_blocking(move || std::io::Write::write_all(&mut writer, &lines).unwrap());
    while seen.len() < expected.len() {
        seen.extend(reader.next().await.unwrap().unwrap());
    }
    writing.await.unwrap();
    assert!(seen == expected);
    pipe.close().await;
    assert_eq!(logs.lost(), 0);
}

async fn read_last(logs: &Logs, path: &Path) -> Vec<u8> {
    let mut reader = logs.read(path, 1, false).unwrap();
    reader.next().await.unwrap().unwrap_or_default()
}

#[tokio::test]
async fn a_secret_reaches_no_file_in_any_form() {
    for form in [Form::Plain, Form::Cri, Form::Json] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let logs = Logs::new(Keep { form, ..Keep::default() });
        let pipe = logs.open(&path, "x", Stream::Stdout).unwrap();
        logs.redact([&b"canary-0123456789"[..], b"short"]).unwrap();
        let mut writer = fs::File::from(pipe.writer().unwrap());
        for it in b"the short key is canary-0123456789, it is\nand the end canary-0123" {
            std::io::Write::write_all(&mut writer, &[*it]).unwrap();
        }
        drop(writer);
        pipe.close().await;
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        assert!(!text.contains("canary") && text.contains("short key is [redacted], it is"), "{text}");
        assert!(text.contains("and the end [redacted]"), "{text}");
    }
}

#[test]
fn there_is_nothing_to_read_where_nothing_was_written() {
    let error = Logs::new(Keep::default()).read(Path::new("/no/such.log"), 1, true).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
