use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::limits;

/// What a service behind the tap was asked, and what came back of it.
#[derive(Debug, Default)]
struct Seen {
    /// Method, target and body of what was handed on; of what was refused, its error.
    exchanges: Vec<String>,
    answer: String,
    /// hyper was given a head and made no exchange of it.
    unread: bool,
}

/// Sends pieces over one connection, waiting between them until nothing moves, and then ends its sending side.
async fn exchange(pieces: &[&[u8]]) -> Seen {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let pace = Pace::new(true, 0);
    let exchanges: Rc<RefCell<Vec<String>>> = Rc::default();
    let (noted, of) = (Rc::clone(&exchanges), Rc::clone(&pace));
    let service = service_fn(move |request: Request<Incoming>| {
        let refused = of.begin();
        let active = of.exchange(!request.body().is_end_stream());
        let noted = Rc::clone(&noted);
        async move {
            let _active = active;
            let line = match refused {
                Some(Refused { error, method }) => format!("!{error} {method:?}"),
                None => {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes());
                    let body = body.map_or("broken".into(), |body| String::from_utf8_lossy(&body).into_owned());
                    format!("{} {} {body}", parts.method, parts.uri)
                }
            };
            noted.borrow_mut().push(line);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }
    });
    let io = TokioIo::new(Tap::new(Paced::new(theirs, Rc::clone(&pace)), Rc::clone(&pace)));
    let mut builder = http1::Builder::new();
    builder.max_header_size(limits::REQUEST_HEAD_BYTES).max_buf_size(limits::CONNECTION_BUFFER);
    let served = tokio::task::spawn_local(builder.serve_connection(io, service));
    let (mut read, mut write) = tokio::io::split(ours);
    for piece in pieces {
        let _ = write.write_all(piece).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    let _ = write.shutdown().await;
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    drop((read, write));
    let _ = served.await;
    let exchanges = exchanges.borrow().clone();
    Seen { exchanges, answer: String::from_utf8_lossy(&answer).into_owned(), unread: pace.is_unread() }
}

async fn local(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

const GOOD: &[u8] = b"GET /good HTTP/1.1\r\nHost: gw\r\n\r\n";
const FORM: &[u8] = b"POST /form HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na=bc\r\n0\r\n\r\n";

#[tokio::test]
async fn messages_pass_in_whatever_pieces_they_come() {
    local(async {
        let all = [GOOD, FORM, GOOD].concat();
        for size in [1, 2, 7, 40, all.len()] {
            let pieces: Vec<&[u8]> = all.chunks(size).collect();
            let seen = exchange(&pieces).await;
            assert_eq!(seen.exchanges, ["GET /good ", "POST /form a=bc", "GET /good "], "pieces of {size}");
            assert_eq!(seen.answer.matches("HTTP/1.1 200 OK").count(), 3, "{}", seen.answer);
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_larger_than_a_buffer_passes() {
    local(async {
        let head = format!("GET /large HTTP/1.1\r\nHost: gw\r\nx: {}\r\n\r\n", "y".repeat(30_000));
        for size in [1_000, head.len()] {
            let pieces: Vec<&[u8]> = head.as_bytes().chunks(size).collect();
            assert_eq!(exchange(&pieces).await.exchanges, ["GET /large "]);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_is_answered_once_and_by_us() {
    local(async {
        for (bad, line) in [
            ("GET / HTTP/1.1\r\nHost: gw\r\nUser-Agent: a\0b\r\n\r\n", "!http syntax: header value Some(GET)"),
            ("HEAD /\r\n\r\n", "!http syntax: request line None"),
            ("HEAD / HTTP/1.1\r\nx\r\n\r\n", "!http syntax: header line Some(HEAD)"),
            ("GET / HTTP/3.0\r\n\r\n", "!http version None"),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "!framing: two framings Some(POST)",
            ),
        ] {
            let seen = exchange(&[GOOD, bad.as_bytes(), GOOD]).await;
            assert_eq!(seen.exchanges, ["GET /good ", line]);
            assert_eq!(seen.answer.matches("HTTP/1.1 200 OK").count(), 2, "{bad:?}: {}", seen.answer);
            assert_eq!(seen.answer.matches("connection: close").count(), 1, "{bad:?}: {}", seen.answer);
            assert_eq!(seen.answer.matches("hello").count(), if line.ends_with("(HEAD)") { 1 } else { 2 }, "{bad:?}");
            let in_one = exchange(&[&[GOOD, bad.as_bytes(), GOOD].concat()]).await;
            assert_eq!(in_one.exchanges, seen.exchanges);
        }
    })
    .await;
}

#[tokio::test]
async fn a_chunk_that_hyper_would_read_breaks_the_body() {
    local(async {
        let head = "POST /form HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in ["4 \r\na=bc\r\n0\r\n\r\n", "00000004\r\na=bc\r\n0\r\n\r\n", "4\r\na=bc\r\n0\r\nX\u{1}\r\n\r\n"] {
            let seen = exchange(&[format!("{head}{body}").as_bytes(), GOOD]).await;
            assert_eq!(seen.exchanges, ["POST /form broken"], "{body:?}");
        }
    })
    .await;
}

/// Pieces of heads, good and bad; what the tap lets through in any order of them, hyper must read without a word of its own.
const PIECES: [&[u8]; 44] = [
    b"GET",
    b"POST",
    b"get",
    b"G\x00",
    b" ",
    b"  ",
    b"\t",
    b"/",
    b"/a?b=c|d",
    b"*",
    b"http://gw/a",
    b"gw:80",
    b"/\xc3\xbc",
    b"/%zz",
    b"/a^b`{}\"<>",
    b"?x",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b" HTTP/2.0",
    b"\r\n",
    b"\n",
    b"\r",
    b"Host: gw",
    b"host:gw",
    b"X:",
    b"X",
    b": ",
    b"a",
    b"\xff",
    b"\x7f",
    b"Content-Length: 3",
    b"Content-Length: 0",
    b"content-length:  5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"abc",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"CONNECT",
    b"X_Y@: z",
];

#[tokio::test]
async fn hyper_never_answers_by_itself() {
    local(async {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        let (mut passed, mut refused) = (0, 0);
        for round in 0..4_000 {
            let mut text = Vec::new();
            if round % 2 == 0 {
                text.extend_from_slice(b"POST /a HTTP/1.1\r\nHost: gw\r\n");
            }
            for _ in 0..1 + random(8) {
                text.extend_from_slice(PIECES[random(PIECES.len())]);
                if random(3) == 0 {
                    text.extend_from_slice(b"\r\n");
                }
            }
            text.extend_from_slice(b"\r\n\r\n");
            let seen = exchange(&[&text]).await;
            let answers = seen.answer.matches("HTTP/1.").count() - seen.answer.matches(" 100 Continue").count();
            let said = String::from_utf8_lossy(&text).into_owned();
            assert!(answers <= seen.exchanges.len(), "{said:?}: {seen:?}");
            assert!(!seen.unread, "{said:?}: {seen:?}");
            assert!(!seen.answer.contains(" 400 ") && !seen.answer.contains(" 431 "), "{said:?}: {seen:?}");
            match seen.exchanges.first() {
                Some(first) if first.starts_with('!') => refused += 1,
                Some(_) => passed += 1,
                None => assert_eq!(seen.answer, "", "{said:?}"),
            }
        }
        assert!(passed > 100 && refused > 100, "{passed} passed, {refused} refused");
    })
    .await;
}
