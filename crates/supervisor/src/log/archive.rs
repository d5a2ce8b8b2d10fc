//! The files that were put away: which there are, how many may stay, and their compression.
//!
//! A file has a number for ever, counted up from the one that was written to first (its generation), and a place, which
//! is part of its name: `x.log.1` is the youngest. Whoever renames or opens files holds the lock of their shelf.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use tokio::sync::watch;

use super::Keep;

/// No share of the disk cap is smaller: a file that is put away at each line would cost more than it saves.
const LEAST_SHARE: u64 = 64 << 10;

/// All files of a supervisor.
#[derive(Debug)]
pub(super) struct Archive {
    keep: Keep,
    shelves: Mutex<BTreeMap<PathBuf, Arc<Shelf>>>,
    /// Bytes after which a file is put away, with as many logs as there are.
    limit: AtomicU64,
    lost: AtomicU64,
    press: Mutex<Press>,
}

/// What is to be compressed, and whether a thread does it.
#[derive(Debug, Default)]
struct Press {
    queue: VecDeque<(Arc<Shelf>, u64)>,
    runs: bool,
}

impl Archive {
    pub(super) fn new(keep: Keep) -> Self {
        let limit = AtomicU64::new(keep.bytes);
        Self { keep, shelves: Mutex::default(), limit, lost: AtomicU64::new(0), press: Mutex::default() }
    }

    pub(super) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Bytes after which a file is put away.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    pub(super) fn lose(&self, bytes: u64) {
        self.lost.fetch_add(bytes, Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(super) fn shelf(&self, path: &Path) -> Option<Arc<Shelf>> {
        lock(&self.shelves).get(path).cloned()
    }

    /// The shelf of a log that is about to be written to. What an earlier supervisor left unfinished is finished.
    pub(super) fn take(self: &Arc<Self>, path: &Path) -> io::Result<Arc<Shelf>> {
        let mut shelves = lock(&self.shelves);
        if let Some(it) = shelves.get(path) {
            return Ok(it.clone());
        }
        let shelf = Arc::new(Shelf::find_or_new(path));
        let (mut rest, mut plain) = (vec![shelf.next(), shelf.unfinished()], Vec::new());
        let places = shelf.places();
        for (old, place) in places.old.iter().zip(1..) {
            if old.gzip {
                rest.push(shelf.place(place, false));
            } else {
                plain.push(places.generation - place as u64);
            }
        }
        drop(places);
        for rest in rest {
            match fs::remove_file(rest) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        shelves.insert(path.to_owned(), shelf.clone());
        if let Some(total) = self.keep.total {
            let share = total / 2 / shelves.len() as u64;
            self.limit.store(self.keep.bytes.min(share.max(LEAST_SHARE)), Relaxed);
        }
        drop(shelves);
        for it in plain.into_iter().filter(|_| self.keep.gzip) {
            self.compress(shelf.clone(), it);
        }
        self.keep_within();
        Ok(shelf)
    }

    /// The active file of `shelf`, `bytes` long, becomes the youngest old one; an empty one takes its name.
    pub(super) fn put_away(self: &Arc<Self>, shelf: &Arc<Shelf>, bytes: u64) -> io::Result<File> {
        // What can fail comes first: a failure leaves everything where it was.
        let file = super::rotation::create(&shelf.next())?;
        let mut places = shelf.places();
        while !places.old.is_empty() && places.old.len() >= self.keep.files as usize {
            shelf.drop_oldest(&mut places);
        }
        if self.keep.files > 0 {
            for place in (1..=places.old.len()).rev() {
                let gzip = places.old[place - 1].gzip;
                let (from, to) = (shelf.place(place, gzip), shelf.place(place + 1, gzip));
                match fs::rename(from, to) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(&shelf.path, shelf.place(1, false))?;
            places.old.push_front(Old { bytes, gzip: false });
        }
        fs::rename(shelf.next(), &shelf.path)?;
        places.generation += 1;
        let put_away = places.generation - 1;
        drop(places);
        if self.keep.gzip && self.keep.files > 0 {
            self.compress(shelf.clone(), put_away);
        }
        self.keep_within();
        Ok(file)
    }

    /// Deletes old files, the oldest of the log that has most, until the rest and every active file have room.
    fn keep_within(&self) {
        let Some(total) = self.keep.total else { return };
        let shelves = lock(&self.shelves);
        let room = total.saturating_sub(self.limit() * shelves.len() as u64);
        loop {
            let sizes =
                shelves.values().map(|it| (it.places().old.iter().map(|it| it.bytes).sum::<u64>(), it));
            let (mut sum, mut greediest) = (0, None);
            for (size, shelf) in sizes {
                sum += size;
                greediest = greediest.filter(|(most, _)| *most >= size).or(Some((size, shelf)));
            }
            match greediest {
                Some((size, shelf)) if sum > room && size > 0 => shelf.drop_oldest(&mut shelf.places()),
                _ => return,
            }
        }
    }

    /// Compress a file on a thread that lives for as long as there is something to compress.
    fn compress(self: &Arc<Self>, shelf: Arc<Shelf>, generation: u64) {
        let mut press = lock(&self.press);
        press.queue.push_back((shelf, generation));
        if press.runs {
            return;
        }
        let archive = self.clone();
        let run = move || {
            while let Some((shelf, generation)) = archive.next_to_compress() {
                // It stays as it is where there is no room for another.
                let _ = shelf.compress(generation);
            }
        };
        press.runs = std::thread::Builder::new().name("log-gzip".into()).spawn(run).is_ok();
    }

    fn next_to_compress(&self) -> Option<(Arc<Shelf>, u64)> {
        let mut press = lock(&self.press);
        let next = press.queue.pop_front();
        press.runs = next.is_some();
        next
    }
}

/// One log: its active file and those that were put away.
#[derive(Debug)]
pub(super) struct Shelf {
    path: PathBuf,
    places: Mutex<Places>,
    /// Told when something was written, if anybody listens.
    pub written: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct Places {
    /// Of the active file.
    pub generation: u64,
    /// The youngest first.
    pub old: VecDeque<Old>,
}

/// A file that was put away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Old {
    bytes: u64,
    gzip: bool,
}

/// Bytes of a log, from a file that may be compressed.
pub(super) enum Content {
    Plain(File),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(it) => it.read(buffer),
            Self::Gzip(it) => it.read(buffer),
        }
    }
}

impl Content {
    pub(super) fn gzip(file: File) -> Self {
        Self::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(file))))
    }
}

impl Shelf {
    /// What there is of a log that may never have been written to.
    fn find_or_new(path: &Path) -> Self {
        let mut shelf = Self {
            path: path.to_owned(),
            places: Mutex::new(Places::new()),
            written: watch::Sender::new(()),
        };
        let mut old = VecDeque::new();
        for place in 1.. {
            let [plain, gzip] = [false, true].map(|it| fs::metadata(shelf.place(place, it)));
            // Both are there when it was compressed and not yet deleted.
            match (gzip, plain) {
                (Ok(it), _) => old.push_back(Old { bytes: it.len(), gzip: true }),
                (Err(_), Ok(it)) => old.push_back(Old { bytes: it.len(), gzip: false }),
                (Err(_), Err(_)) => break,
            }
        }
        shelf.places = Mutex::new(Places { generation: old.len() as u64, old });
        shelf
    }

    /// What there is of a log that nobody here writes to.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let shelf = Self::find_or_new(path);
        if shelf.places().old.is_empty() {
            fs::metadata(path)?;
        }
        Ok(shelf)
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Places> {
        lock(&self.places)
    }

    fn drop_oldest(&self, places: &mut Places) {
        if let Some(it) = places.old.pop_back() {
            // It may be gone already; what cannot be deleted is written over.
            let _ = fs::remove_file(self.place(places.old.len() + 1, it.gzip));
        }
    }

    /// At any moment one complete file is there: the plain one goes once the other has its name.
    fn compress(&self, generation: u64) -> io::Result<()> {
        let plain = {
            let places = self.places();
            match places.place_of(generation) {
                Some(place) if !places.old[place - 1].gzip => File::open(self.place(place, false))?,
                _ => return Ok(()),
            }
        };
        let unfinished = self.unfinished();
        let mut gzip = GzEncoder::new(super::rotation::create(&unfinished)?, Compression::fast());
        let compressed = io::copy(&mut &plain, &mut gzip).and_then(|_| gzip.finish()).and_then(|mut it| {
            it.flush()?;
            it.sync_all()?;
            Ok(it.metadata()?.len())
        });
        let mut places = self.places();
        match (compressed, places.place_of(generation)) {
            (Ok(bytes), Some(place)) => {
                fs::rename(unfinished, self.place(place, true))?;
                places.old[place - 1] = Old { bytes, gzip: true };
                fs::remove_file(self.place(place, false))
            }
            // It was deleted meanwhile.
            (Ok(_), None) => fs::remove_file(unfinished),
            (Err(error), _) => {
                let _ = fs::remove_file(unfinished);
                Err(error)
            }
        }
    }

    fn place(&self, place: usize, gzip: bool) -> PathBuf {
        self.named(&format!(".{place}{}", if gzip { ".gz" } else { "" }))
    }

    /// The next active file, until it is one.
    fn next(&self) -> PathBuf {
        self.named(".next")
    }

    fn unfinished(&self) -> PathBuf {
        self.named(".gz.unfinished")
    }

    fn named(&self, suffix: &str) -> PathBuf {
        let mut name: OsString = self.path.clone().into();
        name.push(suffix);
        name.into()
    }
}

impl Places {
    fn new() -> Self {
        Self { generation: 0, old: VecDeque::new() }
    }

    /// The content of a file that is still there, and its generation: `generation`, or the next one after it.
    pub(super) fn open(&self, shelf: &Shelf, generation: u64) -> io::Result<(u64, Content)> {
        let oldest = self.generation - self.old.len() as u64;
        for generation in generation.max(oldest)..self.generation {
            let Some(place) = self.place_of(generation) else { continue };
            let gzip = self.old[place - 1].gzip;
            match File::open(shelf.place(place, gzip)) {
                Ok(it) if gzip => return Ok((generation, Content::gzip(it))),
                Ok(it) => return Ok((generation, Content::Plain(it))),
                // Somebody else has deleted it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok((self.generation, Content::Plain(File::open(&shelf.path)?)))
    }

    /// Every file, the oldest first.
    pub(super) fn open_all(&self, shelf: &Shelf) -> io::Result<Vec<(u64, Content)>> {
        let (mut files, mut next) = (Vec::new(), 0);
        while next <= self.generation {
            let (generation, content) = self.open(shelf, next)?;
            files.push((generation, content));
            next = generation + 1;
        }
        Ok(files)
    }

    /// Where a file is that was put away.
    fn place_of(&self, generation: u64) -> Option<usize> {
        let place = usize::try_from(self.generation.checked_sub(generation)?).ok()?;
        (1..=self.old.len()).contains(&place).then_some(place)
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
