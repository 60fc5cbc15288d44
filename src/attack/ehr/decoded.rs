//! How the test EHR reads what is percent-encoded: plainly, or with the faults of real servers.

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization as _;

/// Decodes once; overlong UTF-8 too, where the quirk says so.
pub(super) fn decoded(text: &str, quirks: &[String]) -> String {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    let is_lenient = quirks.iter().any(|quirk| quirk == "accept_overlong_utf8");
    String::from_utf8_lossy(&if is_lenient { shortened(&bytes) } else { bytes }).into_owned()
}

/// The pairs of a query or form.
pub(super) fn parse(query: &str, quirks: &[String]) -> Vec<(String, String)> {
    let has = |quirk: &str| quirks.iter().any(|have| have == quirk);
    let clear = |text: &str| {
        let once = decoded(&text.replace('+', " "), quirks);
        if has("double_decode_query") { decoded(&once, quirks) } else { once }
    };
    let value = |text: &str| {
        let value = clear(text);
        if has("nfkc_normalise_params") { value.nfkc().collect() } else { value }
    };
    let pair =
        |text: &str| text.split_once('=').map_or((clear(text), String::new()), |(name, own)| (clear(name), value(own)));
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

/// Two-byte spellings of ASCII, which UTF-8 forbids, become what they mean.
fn shortened(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some((first, after)) = rest.split_first() {
        match (first, after.split_first()) {
            (0xc0 | 0xc1, Some((second @ 0x80..0xc0, beyond))) => {
                out.push((first & 1) << 6 | second & 0x3f);
                rest = beyond;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}
