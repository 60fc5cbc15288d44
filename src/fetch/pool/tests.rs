use std::collections::HashSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::fetch::body::Whole;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// What an EHR that follows a script saw: requests, by connection.
type Seen = Rc<RefCell<Vec<Vec<String>>>>;

#[derive(Clone, Copy)]
enum Then {
    Close,
    Hold,
}

/// An EHR that gives each connection its replies in turn, and then closes it or holds it open.
async fn ehr(connections: &'static [(&'static [&'static str], Then)]) -> (Pool, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}/fhir", listener.local_addr().unwrap())).unwrap();
    let seen = Seen::default();
    let saw = Rc::clone(&seen);
    spawn_local(async move {
        for (number, (replies, then)) in connections.iter().enumerate() {
            let (mut stream, _) = listener.accept().await.unwrap();
            saw.borrow_mut().push(Vec::new());
            let saw = Rc::clone(&saw);
            spawn_local(async move {
                for reply in *replies {
                    let Some(request) = read_request(&mut stream).await else { break };
                    saw.borrow_mut()[number].push(request);
                    stream.write_all(reply.as_bytes()).await.unwrap();
                }
                if matches!(then, Then::Hold) {
                    std::future::pending::<()>().await;
                }
            });
        }
        std::future::pending::<()>().await;
    });
    (Pool::new(origin, None), seen)
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8(seen.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split_once("content-length: ")
                .map_or(0, |(_, rest)| rest.lines().next().unwrap().parse::<usize>().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        if stream.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/fhir/Patient/p1").body(Full::default()).unwrap()
}

fn post() -> Request<Full<Bytes>> {
    Request::post("/fhir/Patient/_search").body(Full::from("a=b")).unwrap()
}

async fn text(answer: Answer) -> Result<String, PoolError> {
    match answer.body.whole(1 << 20).await? {
        Whole::Complete(bytes) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
        Whole::Larger { .. } => panic!("larger than a mebibyte"),
    }
}

async fn ask(pool: &Pool) -> Result<String, PoolError> {
    text(pool.send(get).await?).await
}

fn counts(seen: &Seen) -> Vec<usize> {
    seen.borrow().iter().map(Vec::len).collect()
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 304 Not Modified\r\n\r\n";
    const CONTINUED: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO, CHUNKED, EMPTY, CONTINUED, HELLO], Then::Hold)]).await;
            for expected in ["hello", "hello", "", "hello"] {
                assert_eq!(ask(&pool).await.unwrap(), expected);
            }
            assert_eq!(text(pool.send(post).await.unwrap()).await.unwrap(), "hello");
            assert_eq!(counts(&seen), [5]);
        })
        .await;
}

#[tokio::test]
async fn host_is_the_origin_whatever_was_asked() {
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO], Then::Hold)]).await;
            let elsewhere = || {
                let mut request = get();
                request.headers_mut().insert(HOST, "evil.example".parse().unwrap());
                request
            };
            text(pool.send(elsewhere).await.unwrap()).await.unwrap();
            let request = seen.borrow()[0][0].to_lowercase();
            assert!(request.starts_with("get /fhir/patient/p1 http/1.1\r\n"), "{request}");
            assert!(request.contains("\r\nhost: 127.0.0.1:"), "{request}");
            assert_eq!(request.matches("host:").count(), 1);
        })
        .await;
}

#[tokio::test]
async fn answers_at_once_need_connections_each() {
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO, HELLO], Then::Hold), (&[HELLO], Then::Hold)]).await;
            let first = pool.send(get).await.unwrap();
            // The body has arrived with its head, but it was not read: the connection is not free.
            let second = pool.send(get).await;
            drop(first);
            assert_eq!(text(second.unwrap()).await.unwrap(), "hello");
            assert_eq!(counts(&seen), [1, 1]);
        })
        .await;
}

#[tokio::test]
async fn a_connection_that_says_close_is_not_used_again() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    const UNTIL_END: &str = "HTTP/1.1 200 OK\r\n\r\nhello";
    LocalSet::new()
        .run_until(async {
            let (pool, seen) =
                ehr(&[(&[HELLO, LAST], Then::Hold), (&[UNTIL_END], Then::Close), (&[HELLO], Then::Hold)]).await;
            for open in [1, 0, 0, 1] {
                assert_eq!(ask(&pool).await.unwrap(), "hello");
                assert_eq!(pool.0.open.get(), open);
            }
            assert_eq!(counts(&seen), [2, 1, 1]);
        })
        .await;
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_not_noticed() {
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO], Then::Close), (&[HELLO], Then::Close), (&[HELLO], Then::Hold)]).await;
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(text(pool.send(post).await.unwrap()).await.unwrap(), "hello");
            assert_eq!(counts(&seen), [1, 1, 1]);
        })
        .await;
}

#[tokio::test]
async fn get_is_repeated_where_an_idle_connection_died_under_it() {
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO, ""], Then::Close), (&[HELLO], Then::Hold)]).await;
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(counts(&seen), [2, 1]);
            let seen = seen.borrow();
            assert_eq!(seen[0][1], seen[1][0]);
        })
        .await;
}

#[tokio::test]
async fn nothing_else_is_repeated() {
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO, ""], Then::Close), (&[HELLO], Then::Hold)]).await;
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(pool.send(post).await.unwrap_err(), PoolError::Truncated, "a post that may have been done");
            assert_eq!(counts(&seen), [2]);

            let (pool, seen) = ehr(&[(&[HELLO, "HTTP/1.1 2"], Then::Close), (&[HELLO], Then::Hold)]).await;
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(pool.send(get).await.unwrap_err(), PoolError::Truncated, "an answer that had begun");
            assert_eq!(counts(&seen), [2]);

            let (pool, seen) = ehr(&[(&[""], Then::Close), (&[HELLO], Then::Hold)]).await;
            assert_eq!(pool.send(get).await.unwrap_err(), PoolError::Truncated, "a fresh connection");
            assert_eq!(counts(&seen), [1]);

            let (pool, seen) = ehr(&[(&[HELLO, ""], Then::Close), (&[""], Then::Close), (&[HELLO], Then::Hold)]).await;
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(pool.send(get).await.unwrap_err(), PoolError::Truncated, "a third time");
            assert_eq!(counts(&seen), [2, 1]);
        })
        .await;
}

#[tokio::test]
async fn a_cut_body_is_never_whole() {
    const CUTS: &[(&[&str], Then)] = &[
        (&["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"], Then::Close),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"], Then::Close),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"], Then::Close),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"], Then::Close),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"], Then::Close),
    ];
    LocalSet::new()
        .run_until(async {
            let (pool, _) = ehr(CUTS).await;
            for (cut, _) in CUTS {
                let mut body = pool.send(get).await.unwrap().body;
                let error = loop {
                    match body.next().await {
                        Ok(piece) => assert_eq!(piece.expect("a clean end"), "hello", "{cut:?}"),
                        Err(error) => break error,
                    }
                };
                assert_eq!(error, PoolError::Truncated, "{cut:?}");
                assert_eq!(body.next().await.unwrap_err(), PoolError::Truncated, "{cut:?}: an end after an error");
            }
        })
        .await;
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    const ANSWERS: &[(&[&str], Then)] = &[
        (&["SSH-2.0-x\r\n\r\n"], Then::Hold),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"], Then::Hold),
        (&["HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"], Then::Hold),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"], Then::Hold),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"], Then::Hold),
    ];
    LocalSet::new()
        .run_until(async {
            let (pool, _) = ehr(ANSWERS).await;
            for (answer, _) in ANSWERS {
                assert_eq!(ask(&pool).await.unwrap_err(), PoolError::Protocol, "{answer:?}");
            }
        })
        .await;
}

#[tokio::test]
async fn heads_have_a_size() {
    LocalSet::new()
        .run_until(async {
            for (over, is_read) in [(0, true), (1, false)] {
                let frame = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: \r\n\r\n".len();
                let filler = "x".repeat(limits::UPSTREAM_HEAD_BYTES - frame + over);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: {filler}\r\n\r\nhello").leak() as &str;
                let replies: &[&str] = vec![answer].leak();
                let (pool, _) = ehr(vec![(replies, Then::Hold)].leak()).await;
                assert_eq!(ask(&pool).await.is_ok(), is_read, "{over} over");
            }
        })
        .await;
}

#[tokio::test]
async fn more_than_was_announced_spoils_the_connection() {
    const MORE: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[MORE], Then::Hold), (&[HELLO], Then::Hold)]).await;
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!(counts(&seen), [1, 1]);
        })
        .await;
}

#[tokio::test]
async fn a_body_above_the_limit_goes_on_as_a_stream() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO, CHUNKED, HELLO, CHUNKED, HELLO], Then::Hold)]).await;
            for known in [true, false, true, false] {
                let limit = if known { 4 } else { 2 };
                let Whole::Larger { head, mut rest } = pool.send(get).await.unwrap().body.whole(limit).await.unwrap()
                else {
                    panic!("not larger")
                };
                assert_eq!(head.is_empty(), known, "a length that was announced is believed at once");
                let mut all = head.to_vec();
                while let Some(piece) = rest.next().await.unwrap() {
                    all.extend_from_slice(&piece);
                }
                assert_eq!(all, b"hello");
            }
            let whole = pool.send(get).await.unwrap().body.whole(5).await.unwrap();
            assert!(matches!(whole, Whole::Complete(bytes) if bytes == "hello"));
            assert_eq!(counts(&seen), [5]);
        })
        .await;
}

#[tokio::test]
async fn connections_are_counted_and_given_back() {
    const UNFINISHED: &[&str] = &["HTTP/1.1 200 OK
Content-Length: 9

hello"];
    const ALWAYS: &[(&[&str], Then)] = &[(UNFINISHED, Then::Hold); limits::UPSTREAM_CONNECTIONS + 1];
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(ALWAYS).await;
            let mut answers = Vec::new();
            for _ in 0..limits::UPSTREAM_CONNECTIONS {
                answers.push(pool.send(get).await.unwrap());
            }
            assert_eq!(pool.send(get).await.unwrap_err(), PoolError::Busy);
            answers.pop();
            assert!(pool.send(get).await.is_ok());
            assert_eq!(counts(&seen).len(), limits::UPSTREAM_CONNECTIONS + 1);
            answers.clear();
            assert_eq!(pool.0.open.get(), 0);
        })
        .await;
}

#[tokio::test]
async fn nobody_there_is_told_apart() {
    LocalSet::new()
        .run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            drop(listener);
            let pool = Pool::new(origin, None);
            assert_eq!(pool.send(get).await.unwrap_err(), PoolError::Connect);
            assert_eq!(pool.0.open.get(), 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_the_wait() {
    LocalSet::new()
        .run_until(async {
            let (pool, _) = ehr(&[(&["HTTP/1.1 200 OK\r\n"], Then::Hold)]).await;
            let start = Instant::now();
            assert_eq!(pool.send(get).await.unwrap_err(), PoolError::Timeout);
            assert!(start.elapsed() >= limits::UPSTREAM_HEAD);
            assert_eq!(pool.0.open.get(), 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn silence_in_a_body_ends_it() {
    LocalSet::new()
        .run_until(async {
            let (pool, _) = ehr(&[(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"], Then::Hold)]).await;
            let mut body = pool.send(get).await.unwrap().body;
            assert_eq!(body.next().await.unwrap().unwrap(), "hello");
            let start = Instant::now();
            assert_eq!(body.next().await.unwrap_err(), PoolError::Timeout);
            assert!(start.elapsed() >= limits::UPSTREAM_IDLE);
            assert_eq!(body.next().await.unwrap_err(), PoolError::Timeout);
            assert_eq!(pool.0.open.get(), 0);
        })
        .await;
}

/// How long a body is read whose pieces of `size` bytes come every half of the silence that is allowed.
async fn read_for(size: usize) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
        while stream.write_all(&vec![b'x'; size]).await.is_ok() {
            tokio::time::sleep(limits::UPSTREAM_IDLE / 2).await;
        }
    });
    let start = Instant::now();
    let mut body = Pool::new(origin, None).send(get).await.unwrap().body;
    loop {
        match body.next().await {
            Ok(piece) => assert!(piece.is_some()),
            Err(error) => {
                assert_eq!(error, PoolError::Timeout);
                return start.elapsed();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dripping_does_not_keep_a_body_alive() {
    LocalSet::new()
        .run_until(async {
            let dripping = read_for(1).await;
            assert!(dripping >= limits::UPSTREAM_IDLE && dripping < limits::UPSTREAM_IDLE * 3 / 2, "{dripping:?}");
            let steady = read_for(8 * 1024).await;
            assert!(steady >= limits::UPSTREAM_TOTAL, "{steady:?}");
            assert!(steady < limits::UPSTREAM_TOTAL + limits::UPSTREAM_IDLE, "{steady:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_in_time() {
    LocalSet::new()
        .run_until(async {
            let (pool, seen) = ehr(&[(&[HELLO, HELLO], Then::Hold)]).await;
            assert_eq!(ask(&pool).await.unwrap(), "hello");
            assert_eq!((pool.0.idle.borrow().len(), pool.0.open.get()), (1, 1));
            tokio::time::sleep(limits::UPSTREAM_POOL_IDLE).await;
            tokio::task::yield_now().await;
            assert_eq!((pool.0.idle.borrow().len(), pool.0.open.get()), (0, 0));
            assert!(!pool.0.has_sweeper.get());
            assert_eq!(counts(&seen), [1]);
        })
        .await;
}

#[tokio::test]
async fn the_newest_idle_connection_is_taken_first() {
    LocalSet::new()
        .run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let peers = Rc::new(RefCell::new(Vec::new()));
            let met = Rc::clone(&peers);
            spawn_local(async move {
                while let Ok((mut stream, peer)) = listener.accept().await {
                    let met = Rc::clone(&met);
                    spawn_local(async move {
                        while read_request(&mut stream).await.is_some() {
                            met.borrow_mut().push(peer.port());
                            stream.write_all(HELLO.as_bytes()).await.unwrap();
                        }
                    });
                }
            });
            let pool = Pool::new(origin, None);
            let (one, two) = (pool.send(get).await.unwrap(), pool.send(get).await.unwrap());
            text(one).await.unwrap();
            text(two).await.unwrap();
            for _ in 0..3 {
                ask(&pool).await.unwrap();
            }
            let peers = peers.borrow();
            assert_eq!(peers[2..].iter().collect::<HashSet<_>>(), HashSet::from([&peers[1]]));
            assert_eq!(pool.0.idle.borrow().len(), 2);
        })
        .await;
}
