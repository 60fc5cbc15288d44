//! A small record that is overwritten in place.
//!
//! Takes: at most [`SECTOR_BYTES`] bytes at a time. Gives: a file that holds the last ones. Guarantees: a
//! rewrite needs no new space and changes no metadata, so it succeeds on a full disk, and a process killed
//! at any moment leaves the old record or the new one; so does a power failure, because devices write one
//! sector whole or not at all. Refuses: a longer record.
//!
//! Writing a new file and renaming it over the old one would not do here: without an `fsync` for each
//! rewrite several file systems may show an empty file after a power failure, and it needs free space.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What devices write whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// A file of exactly one sector.
#[derive(Debug)]
pub struct Sector {
    file: File,
}

impl Sector {
    /// Opens a file that [`super::create`] has made with [`SECTOR_BYTES`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] where it is of any other size.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != SECTOR_BYTES as u64 {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Self { file })
    }

    /// Replaces the record. Later readers see it; it is on the device only after [`Self::sync`].
    pub fn write(&self, record: &[u8; SECTOR_BYTES]) -> io::Result<()> {
        self.file.write_all_at(record, 0)
    }

    /// Forces the record to the device.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::Scratch;
    use crate::store::{PUBLIC, create};

    #[test]
    fn holds_the_last_record_only() {
        let dir = Scratch::new();
        let path = dir.join("record");
        create(&path, &[b'a'; SECTOR_BYTES], PUBLIC).unwrap();
        let sector = Sector::open(&path).unwrap();
        sector.write(&[b'b'; SECTOR_BYTES]).unwrap();
        sector.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [b'b'; SECTOR_BYTES]);
    }

    #[test]
    fn refuses_another_size() {
        let dir = Scratch::new();
        let path = dir.join("record");
        for size in [0, SECTOR_BYTES - 1, SECTOR_BYTES + 1] {
            std::fs::write(&path, vec![b'a'; size]).unwrap();
            assert_eq!(Sector::open(&path).unwrap_err().kind(), ErrorKind::InvalidData, "{size}");
        }
    }
}
