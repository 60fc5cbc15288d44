//! Durable files: the only code that creates, locks or overwrites what must survive a crash.
//!
//! Takes: paths and bytes. Gives: files whose content and directory entry are on the device when the call
//! returns. Guarantees: a file made by [`create`] holds all of its bytes or does not exist.
//! Refuses: to replace what is there, and to share a directory that is locked.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

mod region;
mod sector;

pub use region::Region;
pub use sector::{SECTOR_BYTES, Sector};

/// Permission to read and write for the owner alone.
pub const PRIVATE: u32 = 0o600;

/// Permission to read for everyone.
pub const PUBLIC: u32 = 0o644;

/// Makes a directory, and those above it, open to the owner alone. One that exists keeps its mode.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

/// Forces the entries of a directory to the device.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates a file with this content and mode, whole or not at all.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] where the name is taken; what is there stays untouched.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft_of(path)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut draft = name.to_os_string();
    draft.push(".draft");
    Ok(path.with_file_name(draft))
}

/// The right to write in a directory, held by one process at a time and given back when this is dropped or
/// the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock that this file stands for.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] where another process, or another part of this one, holds it.
    pub fn take(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
pub(crate) mod scratch;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::scratch::Scratch;
    use super::*;

    #[test]
    fn create_writes_all_with_the_mode_and_leaves_no_draft() {
        let dir = Scratch::new();
        let path = dir.join("key");
        create(&path, b"secret", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&*dir).unwrap().count(), 1);
    }

    #[test]
    fn create_refuses_to_replace_and_survives_a_draft_left_by_a_crash() {
        let dir = Scratch::new();
        let path = dir.join("key");
        fs::write(dir.join("key.draft"), b"half of a longer file").unwrap();
        create(&path, b"first", PRIVATE).unwrap();
        assert_eq!(create(&path, b"second", PRIVATE).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(&*dir).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_is_held_once_and_given_back() {
        let dir = Scratch::new();
        let path = dir.join("lock");
        let held = Lock::take(&path).unwrap();
        assert_eq!(Lock::take(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(held);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_private_directory_is_closed_to_others() {
        let dir = Scratch::new();
        let inner = dir.join("a/b");
        private_directory(&inner).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
        private_directory(&inner).unwrap();
    }
}
