//! A file that grows at its end into space prepared beforehand.
//!
//! Takes: bytes. Gives: a file of used bytes followed by zeros. Guarantees: an append within the prepared
//! room needs no allocation, hence cannot meet a full disk, and its `fdatasync` writes no metadata.
//! Refuses: an append beyond the room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{PRIVATE, sync_directory};

/// Zeros are written in pieces of this size.
const PIECE: &[u8] = &[0; 64 * 1024];

/// The used part of a file and the room behind it.
#[derive(Debug)]
pub struct Region {
    file: File,
    used: u64,
    prepared: u64,
}

impl Region {
    /// A new file with `room` bytes prepared, whose name is durable too. A failure leaves no file behind.
    pub fn create(path: &Path, room: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
        let mut region = Self { file, used: 0, prepared: 0 };
        let made = region.prepare(room).and_then(|()| path.parent().map_or(Ok(()), sync_directory));
        if made.is_err() {
            fs::remove_file(path)?;
        }
        made.map(|()| region)
    }

    /// Opens a file of which the first `used` bytes count. What follows them is cut off, durably; there is
    /// no room until [`Self::prepare`] has made some, because zeros found in a file may be a hole in it.
    pub fn open(path: &Path, used: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() < used {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        file.set_len(used)?;
        file.sync_all()?;
        Ok(Self { file, used, prepared: used })
    }

    /// Bytes appended so far.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that can still be appended.
    pub fn room(&self) -> u64 {
        self.prepared.saturating_sub(self.used)
    }

    /// Writes zeros until the room is at least `room`, and forces them to the device. A failure leaves the
    /// room as it was; trying again writes the same zeros anew, so a later success can be believed.
    pub fn prepare(&mut self, room: u64) -> io::Result<()> {
        let target = self.used.saturating_add(room);
        let mut end = self.prepared;
        while end < target {
            let missing = usize::try_from(target - end).unwrap_or(usize::MAX);
            let piece = PIECE.get(..missing).unwrap_or(PIECE);
            self.file.write_all_at(piece, end)?;
            end += piece.len() as u64;
        }
        if end > self.prepared {
            self.file.sync_all()?;
            self.prepared = end;
        }
        Ok(())
    }

    /// Appends bytes; they are on the device only after [`Self::sync`].
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.room() {
            return Err(ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(bytes, self.used)?;
        self.used += bytes.len() as u64;
        Ok(())
    }

    /// Forces what was appended to the device. After a failure nothing is known about any byte since the
    /// last success, and trying again may report a success that is none. A file that was deleted keeps nothing, and
    /// is a failure.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.file.metadata()?.nlink() == 0 { Err(ErrorKind::NotFound.into()) } else { Ok(()) }
    }

    /// Gives the room back and closes the file.
    pub fn finish(self) -> io::Result<()> {
        self.file.set_len(self.used)?;
        self.file.sync_all()
    }

    /// A region on any file at all: devices that fail.
    #[cfg(test)]
    pub(crate) fn on(file: File, prepared: u64) -> Self {
        Self { file, used: 0, prepared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::Scratch;

    #[test]
    fn a_deleted_file_keeps_nothing() {
        let dir = Scratch::new();
        let path = dir.join("region");
        let mut region = Region::create(&path, 64).unwrap();
        region.append(b"kept").unwrap();
        region.sync().unwrap();
        fs::remove_file(&path).unwrap();
        region.append(b"lost").unwrap();
        assert_eq!(region.sync().unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn appends_into_prepared_zeros_and_gives_the_rest_back() {
        let dir = Scratch::new();
        let path = dir.join("log");
        let mut region = Region::create(&path, 100).unwrap();
        assert_eq!((region.used(), region.room()), (0, 100));
        region.append(b"abc").unwrap();
        region.sync().unwrap();
        assert_eq!((region.used(), region.room()), (3, 97));
        assert_eq!(fs::read(&path).unwrap(), [b"abc".as_slice(), &[0; 97]].concat());
        region.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }

    #[test]
    fn refuses_the_byte_beyond_the_room() {
        let dir = Scratch::new();
        let mut region = Region::create(&dir.join("log"), 4).unwrap();
        assert_eq!(region.append(b"abcde").unwrap_err().kind(), ErrorKind::StorageFull);
        region.append(b"abcd").unwrap();
        assert_eq!(region.append(b"e").unwrap_err().kind(), ErrorKind::StorageFull);
        region.prepare(1).unwrap();
        region.append(b"e").unwrap();
    }

    #[test]
    fn opening_cuts_what_does_not_count() {
        let dir = Scratch::new();
        let path = dir.join("log");
        fs::write(&path, b"good torn\0\0\0").unwrap();
        let mut region = Region::open(&path, 5).unwrap();
        assert_eq!((region.used(), region.room()), (5, 0));
        region.prepare(3).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"good \0\0\0");
        assert_eq!(Region::open(&path, 9).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_full_device_leaves_the_room_as_it_was() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut region = Region::on(full, 10);
        assert_eq!(region.prepare(11).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(region.room(), 10);
    }

    #[test]
    fn a_taken_name_is_refused() {
        let dir = Scratch::new();
        let path = dir.join("log");
        fs::write(&path, b"kept").unwrap();
        assert_eq!(Region::create(&path, 8).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"kept");
    }
}
