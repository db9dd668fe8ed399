//! Files.

use core::mem::ManuallyDrop;

use super::{Path, call3, call5, checked, number};

const HERE: usize = -100_isize as usize;
const CREATE: usize = 0o100;
const TRUNCATE: usize = 0o1000;
const APPEND: usize = 0o2000;
const CLOSE_ON_EXEC: usize = 0o2_000_000;

/// An open file or socket, closed when it is dropped.
#[derive(Debug)]
pub struct File(pub(super) usize);

impl Drop for File {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and not used again.
        unsafe { call3(number::CLOSE, self.0, 0, 0) };
    }
}

fn open(path: Path, flags: usize) -> Option<File> {
    // SAFETY: the path ends in NUL and lives through the call.
    unsafe { open_at(path.pointer(), flags) }
}

/// # Safety
/// `path` must be the address of a string that ends in NUL.
pub(super) unsafe fn open_at(path: usize, flags: usize) -> Option<File> {
    // SAFETY: the caller answers for the path.
    checked(unsafe { call5(number::OPENAT, HERE, path, flags | CLOSE_ON_EXEC, 0o644, 0) }).map(File)
}

impl File {
    /// Opens a file to read.
    pub fn open(path: Path) -> Option<Self> {
        open(path, 0)
    }

    /// Opens a file to read, and to write at its end, until the process ends; makes it where it is missing.
    pub fn append(path: Path) -> Option<ManuallyDrop<Self>> {
        open(path, 2 | CREATE | APPEND).map(ManuallyDrop::new)
    }

    /// Makes an empty file to write.
    pub fn create(path: Path) -> Option<Self> {
        open(path, 1 | CREATE | TRUNCATE)
    }

    /// Reads once; 0 at the end.
    pub fn read(&self, room: &mut [u8]) -> Option<usize> {
        // SAFETY: the pointer and length are of a slice that lives through the call.
        checked(unsafe { call3(number::READ, self.0, room.as_mut_ptr() as usize, room.len()) })
    }

    /// Reads into `room` until it is full or the file ends; what was read.
    pub fn read_all<'a>(&self, room: &'a mut [u8]) -> &'a [u8] {
        let mut filled = 0;
        while let Some(rest) = room.get_mut(filled..) {
            match self.read(rest) {
                Some(0) | None => break,
                Some(read) => filled += read,
            }
        }
        room.get(..filled).unwrap_or_default()
    }

    /// Reads once at `offset`.
    pub fn read_at<'a>(&self, offset: usize, room: &'a mut [u8]) -> &'a [u8] {
        // SAFETY: the pointer and length are of a slice that lives through the call.
        let answer = unsafe { call5(number::PREAD64, self.0, room.as_mut_ptr() as usize, room.len(), offset, 0) };
        room.get(..checked(answer).unwrap_or_default()).unwrap_or_default()
    }

    /// Writes all of `bytes`.
    pub fn write(&self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            // SAFETY: the pointer and length are of a slice that lives through the call.
            let answer = unsafe { call3(number::WRITE, self.0, bytes.as_ptr() as usize, bytes.len()) };
            bytes = bytes.get(checked(answer)?..)?;
        }
        Some(())
    }

    /// Bytes in the file.
    pub fn size(&self) -> usize {
        self.seek(0, 2)
    }

    /// Moves to `offset` from the beginning (`whence` 0) or the end (2); the new place.
    pub(super) fn seek(&self, offset: usize, whence: usize) -> usize {
        // SAFETY: the call takes numbers only.
        checked(unsafe { call3(number::LSEEK, self.0, offset, whence) }).unwrap_or_default()
    }

    /// Locks the file for as long as it is open; `None` when somebody else holds the lock.
    pub fn lock(&self) -> Option<()> {
        // SAFETY: the call takes numbers only: `LOCK_EX | LOCK_NB`.
        checked(unsafe { call3(number::FLOCK, self.0, 2 | 4, 0) }).map(drop)
    }
}

/// Reads what fits into `room` of the file at `path`; nothing when it cannot be read.
pub fn read(path: Path, room: &mut [u8]) -> &[u8] {
    match File::open(path) {
        Some(file) => file.read_all(room),
        None => b"",
    }
}

/// When the file at `path` was written, in Unix seconds; 0 when it is not there.
pub fn written(path: Path) -> u64 {
    // `struct statx`: the seconds of `stx_mtime` are its 15th eight bytes.
    let mut about = [0_u64; 32];
    // SAFETY: the path ends in NUL, the answer fits into 256 bytes, and both live through the call.
    unsafe { call5(number::STATX, HERE, path.pointer(), 0, 0x40, (&raw mut about) as usize) };
    about.get(14).copied().unwrap_or_default()
}

/// Writes a file anew. It may be cut short by a kill or a full disk, so what is kept in it must be
/// such that half of it is taken for none.
pub fn write(path: Path, content: &[u8]) -> Option<()> {
    File::create(path)?.write(content)
}

/// Removes a file, if it is there.
pub fn remove(path: Path) {
    // SAFETY: the path ends in NUL and lives through the call.
    unsafe { call3(number::UNLINKAT, HERE, path.pointer(), 0) };
}

/// Makes the directories that lead to the file at `path`, where they are missing.
pub fn make_way(path: Path) {
    for (end, byte) in path.bytes().iter().enumerate() {
        if *byte == b'/' {
            let directory = Path::new(path.bytes().get(..end).unwrap_or_default(), b"");
            // SAFETY: the path ends in NUL and lives through the call.
            unsafe { call3(number::MKDIRAT, HERE, directory.pointer(), 0o755) };
        }
    }
}

/// Writes to standard output, which is the console's log.
pub fn say(text: &[u8]) {
    let output = ManuallyDrop::new(File(1));
    _ = output.write(text);
}
