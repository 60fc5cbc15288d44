//! Header blocks (RFC 7541): written as literals without indexing, read with the static table and Huffman's code.
//!
//! The table of the code is made from its lengths alone, since it is canonical (RFC 7541 appendix B).

/// Names and values of the static table (RFC 7541 appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Bits of the code of each byte.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// A header block of literals.
pub(super) fn written(fields: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            length(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

fn length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short @ ..127) => out.push(short),
        _ => {
            out.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap_or(0) | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap_or(0));
        }
    }
}

/// The fields of a block; `None` where it uses a dynamic table, which was switched off, or breaks off.
pub(super) fn read(mut block: &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    while let Some(first) = block.first() {
        let bits = match first {
            128.. => 7,
            64.. => 6,
            32.. => {
                number(&mut block, 5)?;
                continue;
            }
            _ => 4,
        };
        let index = number(&mut block, bits)?;
        let named = index.checked_sub(1).map(|at| STATIC.get(at));
        if bits == 7 {
            let (name, value) = named??;
            fields.push(((*name).to_owned(), (*value).to_owned()));
            continue;
        }
        let name = match named {
            Some(entry) => entry?.0.to_owned(),
            None => string(&mut block)?,
        };
        fields.push((name, string(&mut block)?));
    }
    Some(fields)
}

fn number(block: &mut &[u8], bits: u32) -> Option<usize> {
    let mask = (1_usize << bits) - 1;
    let (first, mut rest) = block.split_first()?;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        for shift in [0, 7, 14, 21] {
            let (next, after) = rest.split_first()?;
            rest = after;
            value += (usize::from(*next) & 127) << shift;
            if next & 128 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Some(value)
}

fn string(block: &mut &[u8]) -> Option<String> {
    let is_coded = block.first()? & 128 != 0;
    let length = number(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    let bytes = if is_coded { decoded(text) } else { text.to_vec() };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let codes = codes();
    let (mut out, mut code, mut length) = (Vec::new(), 0_u32, 0_u8);
    for bit in text.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        if let Some((_, _, byte)) = codes.iter().find(|(have, bits, _)| *have == code && *bits == length) {
            out.push(*byte);
            (code, length) = (0, 0);
        }
    }
    out
}

/// Code, bits and byte, shorter codes first.
fn codes() -> Vec<(u32, u8, u8)> {
    let mut bytes: Vec<(u8, u8)> = (0..=u8::MAX).zip(LENGTHS).map(|(byte, length)| (length, byte)).collect();
    bytes.sort_unstable();
    let (mut next, mut last) = (0_u32, 0_u8);
    let code = |(length, byte): (u8, u8)| {
        next <<= length - last;
        last = length;
        next += 1;
        (next - 1, length, byte)
    };
    bytes.into_iter().map(code).collect()
}
