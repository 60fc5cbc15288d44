//! gzip (RFC 1952) without a library: bytes as they are, and bombs.

/// gzip with its data stored, not compressed.
pub(crate) fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = head();
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    if bytes.is_empty() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    out.extend(u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
    out
}

/// A bomb: `beginning`, then one byte so often that `size` bytes come out. Its checksum is left out, since who reads as
/// far as that has unpacked all of it.
pub(crate) fn bomb(beginning: &[u8], filler: u8, size: u64) -> Vec<u8> {
    let mut out = head();
    let length = u16::try_from(beginning.len()).unwrap_or(0);
    out.push(0);
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend_from_slice(beginning);
    let mut bits = Bits { out, held: 0, count: 0 };
    // The last block, with the fixed code (RFC 1951 section 3.2.6).
    bits.low_first(0b011, 3);
    bits.literal(filler);
    let runs = size.saturating_sub(beginning.len() as u64) / 258;
    for _ in 0..runs {
        // 258 bytes from one byte before.
        bits.high_first(0b1100_0101, 8);
        bits.high_first(0, 5);
    }
    bits.high_first(0, 7);
    bits.end()
}

fn head() -> Vec<u8> {
    vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
}

struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn low_first(&mut self, value: u32, bits: u32) {
        self.held |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.out.push(self.held.to_le_bytes()[0]);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    fn high_first(&mut self, value: u32, bits: u32) {
        self.low_first(value.reverse_bits() >> (32 - bits), bits);
    }

    fn literal(&mut self, byte: u8) {
        match byte {
            0..144 => self.high_first(0x30 + u32::from(byte), 8),
            _ => self.high_first(0x190 + u32::from(byte) - 144, 9),
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.low_first(0, 7);
        self.out
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}
