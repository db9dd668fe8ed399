//! Where the ledger's documents lie: a directory, or memory for a simulated run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps the newest document and the one before it.
pub trait Store: Send {
    /// The documents as they were written, the newest first; those that are missing are left out.
    fn load(&mut self) -> Result<Vec<Document>, StoreError>;

    /// Puts a document in the first place and moves the one that was there to the second: whole and for good, or not.
    fn save(&mut self, document: &[u8]) -> Result<(), StoreError>;

    /// Moves a document that is of no use out of its place, for people to look at. Gives its new name.
    fn set_aside(&mut self, slot: Slot) -> Result<String, StoreError>;
}

/// A document as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where it lay.
    pub slot: Slot,
    /// What it says, whole or not.
    pub bytes: Vec<u8>,
}

/// The two places of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The newest.
    Current,
    /// The one before.
    Previous,
}

/// The store refused.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb} `{}`{}", path.display(), advice(source))]
pub struct StoreError {
    /// `read`, `write`, `lock` …
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl StoreError {
    /// What the operating system says: `WouldBlock` where an agent holds the lock.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// What to do; nothing where only the cause itself says what is wrong.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": the disk is full; free some space on it",
        io::ErrorKind::ReadOnlyFilesystem => ": the file system is read-only; remount it for writing",
        io::ErrorKind::PermissionDenied => ": permission denied; let the agent's user own the state directory",
        io::ErrorKind::WouldBlock => ": another agent is running with this state directory; stop that one first",
        _ => "",
    }
}

/// `ledger.json` and `ledger.previous.json` in one directory.
#[derive(Debug)]
pub struct DirStore {
    dir: PathBuf,
    /// Held until the process ends: two agents on one ledger would undo each other's work.
    _lock: File,
}

/// A document of no use gets the first free one of these numbers; the last one is used again and again.
const SET_ASIDE: std::ops::RangeInclusive<u32> = 1..=9;

impl DirStore {
    /// Opens the directory, creating it if need be, and locks it. Fails where another process holds the lock.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        let path = dir.join("ledger.lock");
        let lock = private(&path).map_err(failed("open", &path))?;
        lock.try_lock().map_err(|error| failed("lock", &path)(error.into()))?;
        Ok(Self { dir, _lock: lock })
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.dir.join(match slot {
            Slot::Current => "ledger.json",
            Slot::Previous => "ledger.previous.json",
        })
    }

    /// A rename is on disk only when its directory is.
    fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", &self.dir))
    }
}

impl Store for DirStore {
    fn load(&mut self) -> Result<Vec<Document>, StoreError> {
        let mut found = Vec::new();
        for slot in [Slot::Current, Slot::Previous] {
            let path = self.path(slot);
            match fs::read(&path) {
                Ok(bytes) => found.push(Document { slot, bytes }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("read", &path)(error)),
            }
        }
        Ok(found)
    }

    fn save(&mut self, document: &[u8]) -> Result<(), StoreError> {
        let draft = self.dir.join("ledger.json.new");
        let written = private(&draft).and_then(|mut file| {
            file.write_all(document)?;
            file.sync_all()
        });
        if let Err(error) = written {
            // Half a draft on a full disk only keeps it full.
            let _ = fs::remove_file(&draft);
            return Err(failed("write", &draft)(error));
        }
        let (current, previous) = (self.path(Slot::Current), self.path(Slot::Previous));
        // A crash between the renames leaves no current document, and the previous one is then the newest: this save has
        // not returned, so nothing was done that it should have remembered.
        match fs::rename(&current, &previous) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("rename", &current)(error)),
        }
        fs::rename(&draft, &current).map_err(failed("rename", &draft))?;
        self.sync()
    }

    fn set_aside(&mut self, slot: Slot) -> Result<String, StoreError> {
        let path = self.path(slot);
        let names = || SET_ASIDE.map(|number| format!("ledger.json.bad-{number}"));
        let free = names().find(|name| !self.dir.join(name).exists());
        let name = free.or_else(|| names().next_back()).unwrap_or_default();
        fs::rename(&path, self.dir.join(&name)).map_err(failed("set aside", &path))?;
        self.sync()?;
        Ok(name)
    }
}

/// Nobody else's business.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError { verb, path: path.to_owned(), source }
}

/// Documents in memory: a clone sees the same ones, as a restarted agent sees the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    current: Option<Vec<u8>>,
    previous: Option<Vec<u8>>,
    set_aside: Vec<Vec<u8>>,
    full: bool,
}

impl MemoryStore {
    /// From now on every save fails as on a full disk, or none does.
    pub fn fail_saves(&self, fail: bool) {
        self.shelf().full = fail;
    }

    /// The document in a place, as it was written.
    pub fn document(&self, slot: Slot) -> Option<Vec<u8>> {
        self.shelf().place(slot).clone()
    }

    /// Puts anything in a place, as a failing disk would.
    pub fn put(&self, slot: Slot, bytes: &[u8]) {
        *self.shelf().place(slot) = Some(bytes.to_owned());
    }

    /// What was set aside, in order.
    pub fn set_aside_documents(&self) -> Vec<Vec<u8>> {
        self.shelf().set_aside.clone()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn place(&mut self, slot: Slot) -> &mut Option<Vec<u8>> {
        match slot {
            Slot::Current => &mut self.current,
            Slot::Previous => &mut self.previous,
        }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<Document>, StoreError> {
        let mut shelf = self.shelf();
        let slots = [Slot::Current, Slot::Previous];
        let documents = slots.map(|slot| {
            let bytes = shelf.place(slot).clone()?;
            Some(Document { slot, bytes })
        });
        Ok(documents.into_iter().flatten().collect())
    }

    fn save(&mut self, document: &[u8]) -> Result<(), StoreError> {
        let mut shelf = self.shelf();
        if shelf.full {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(failed("write", Path::new("memory"))(full));
        }
        if let Some(current) = shelf.current.replace(document.to_owned()) {
            shelf.previous = Some(current);
        }
        Ok(())
    }

    fn set_aside(&mut self, slot: Slot) -> Result<String, StoreError> {
        let mut shelf = self.shelf();
        let document = shelf.place(slot).take();
        shelf.set_aside.extend(document);
        Ok(format!("bad-{}", shelf.set_aside.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(store: &mut DirStore) -> Vec<(Slot, String)> {
        let documents = store.load().unwrap().into_iter();
        documents.map(|document| (document.slot, String::from_utf8(document.bytes).unwrap())).collect()
    }

    #[test]
    fn the_newest_document_and_the_one_before_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DirStore::open(dir.path().join("state")).unwrap();
        assert_eq!(texts(&mut store), []);
        for text in ["one", "two", "three"] {
            store.save(text.as_bytes()).unwrap();
        }
        let expected = [(Slot::Current, "three".to_owned()), (Slot::Previous, "two".to_owned())];
        assert_eq!(texts(&mut store), expected);
    }

    #[test]
    fn a_crash_between_the_renames_loses_nothing_that_was_promised() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DirStore::open(dir.path()).unwrap();
        store.save(b"one").unwrap();
        fs::rename(store.path(Slot::Current), store.path(Slot::Previous)).unwrap();
        assert_eq!(texts(&mut store), [(Slot::Previous, "one".to_owned())]);
        store.save(b"two").unwrap();
        let expected = [(Slot::Current, "two".to_owned()), (Slot::Previous, "one".to_owned())];
        assert_eq!(texts(&mut store), expected);
    }

    #[test]
    fn a_long_leftover_draft_leaves_no_tail_in_the_next_document() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DirStore::open(dir.path()).unwrap();
        fs::write(dir.path().join("ledger.json.new"), "a draft of a crashed agent").unwrap();
        store.save(b"short").unwrap();
        assert_eq!(texts(&mut store), [(Slot::Current, "short".to_owned())]);
    }

    #[test]
    fn bad_documents_are_kept_but_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DirStore::open(dir.path()).unwrap();
        let mut names = Vec::new();
        for number in 1..=11 {
            store.save(format!("bad {number}").as_bytes()).unwrap();
            names.push(store.set_aside(Slot::Current).unwrap());
        }
        assert_eq!(names[0], "ledger.json.bad-1");
        assert_eq!(names[8..], ["ledger.json.bad-9"; 3]);
        let last = fs::read_to_string(dir.path().join("ledger.json.bad-9")).unwrap();
        assert_eq!(last, "bad 11");
    }

    #[test]
    fn a_second_agent_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirStore::open(dir.path()).unwrap();
        let error = DirStore::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another agent is running"), "{error}");
        drop(first);
        DirStore::open(dir.path()).unwrap();
    }

    #[test]
    fn a_full_disk_is_named_and_the_last_document_stands() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DirStore::open(dir.path()).unwrap();
        store.save(b"one").unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("ledger.json.new")).unwrap();
        let error = store.save(b"two").unwrap_err().to_string();
        assert!(error.contains("the disk is full"), "{error}");
        assert_eq!(texts(&mut store), [(Slot::Current, "one".to_owned())]);
    }

    #[test]
    fn refusals_of_the_file_system_come_with_advice() {
        let table = [
            (io::ErrorKind::ReadOnlyFilesystem, "remount it for writing"),
            (io::ErrorKind::PermissionDenied, "own the state directory"),
            (io::ErrorKind::NotADirectory, "not a directory"),
        ];
        for (kind, advice) in table {
            let error = crate::doors::with_causes(&failed("write", Path::new("/state/ledger.json"))(kind.into()));
            assert!(error.starts_with("failed to write `/state/ledger.json`: ") && error.contains(advice), "{error}");
        }
    }

    #[test]
    fn a_state_directory_that_is_a_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DirStore::open(file.path().join("state")).unwrap_err();
        assert!(error.to_string().contains("failed to create"), "{error}");
    }
}
