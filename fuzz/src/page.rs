//! Page links: one opens as it was sealed, and nothing else opens at all.

use std::sync::LazyLock;
use std::time::Duration;

use portcullis::clock::Now;
use portcullis::limits;
use portcullis::understand::{Asked, Interaction, PageKey, PageLink, Search, Setting, UnderstandError, understand};

use super::stage::{CLIENT, PAGES, PURPOSE, get, now, setting};

static OTHER: LazyLock<PageKey> = LazyLock::new(|| PageKey::random().expect("randomness"));

/// The first byte chooses. `0`: the rest is a token. Else: a continuation, a line feed, and edits of the token that is
/// sealed with it, each a place and a mask.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first % 4 == 0 {
        if let Ok(token) = std::str::from_utf8(rest) {
            assert_eq!(open(token, setting()).err(), Some(UnderstandError::PageLink));
        }
        return;
    }
    let at = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (continuation, edits) = (String::from_utf8_lossy(&rest[..at]), rest.get(at + 1..).unwrap_or_default());
    let Ok(Interaction::Search(search)) = get("Observation?patient=p1&code=4548-4&_sort=-date&_count=7") else {
        panic!("the search is understood")
    };
    let link = link(&search, &continuation);
    let Some(token) = PAGES.seal(&link) else {
        assert!(continuation.len() > limits::PAGE_LINK_BYTES / 10, "a short link can be sealed");
        return;
    };
    assert!(!token.contains(&*continuation) || continuation.len() < 4, "a link shows what it holds");
    opens(&token, &link);
    edited(&token, edits);
    let later = |life: Duration| Now::at(now().timestamp() + life);
    let end = limits::PAGE_LINK_LIFE;
    assert!(open(&token, Setting { now: later(end - Duration::from_secs(1)), ..setting() }).is_ok());
    for strange in [
        Setting { now: later(end), ..setting() },
        Setting { client: "payer-b", ..setting() },
        Setting { purpose: "TREAT", ..setting() },
        Setting { client: "payer-a\0HPAYMT", purpose: "", ..setting() },
        Setting { pages: &OTHER, ..setting() },
    ] {
        assert_eq!(open(&token, strange).err(), Some(UnderstandError::PageLink));
    }
}

fn link<'l>(search: &'l Search, continuation: &'l str) -> PageLink<'l> {
    PageLink { search, continuation, passed: 3, decision: [7; 16], client: CLIENT, purpose: PURPOSE, now: now() }
}

fn open(token: &str, setting: Setting<'_>) -> Result<Interaction, UnderstandError> {
    understand(Asked { post: false, path: &["_page", token], query: None, form: None }, setting)
}

fn opens(token: &str, link: &PageLink<'_>) {
    let Ok(Interaction::Page(page)) = open(token, setting()) else { panic!("a sealed link opens") };
    assert_eq!((page.continuation(), page.passed(), *page.decision()), (link.continuation, link.passed, link.decision));
    assert_eq!(format!("{:?}", page.search()), format!("{:?}", link.search));
}

/// Any other token than the one that was sealed is refused, as long as it is one that was never sealed.
fn edited(token: &str, edits: &[u8]) {
    let mut bytes = token.as_bytes().to_vec();
    for edit in edits.chunks(3) {
        let [high, low, mask] = edit else { break };
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        match mask {
            0 => bytes.truncate(at % (bytes.len() + 1)),
            b'-' => drop(bytes.splice(at.min(bytes.len()).., [])),
            128.. => bytes.insert(at % (bytes.len() + 1), mask & 0x7f),
            _ if bytes.is_empty() => {}
            mask => {
                let place = at % bytes.len();
                bytes[place] ^= mask;
            }
        }
    }
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    if text != token {
        assert_eq!(open(text, setting()).err(), Some(UnderstandError::PageLink), "an edited link opens");
    }
}
