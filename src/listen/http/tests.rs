use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use hyper::client;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet, yield_now};
use tokio::time::{sleep, timeout};

use super::*;
use crate::accept::AcceptError;
use crate::listen::drain::Tally;
use crate::metrics::Metrics;

/// Answers by path, and remembers what it has finished.
#[derive(Default)]
struct House {
    /// `/wait` answers when this is told.
    gate: Notify,
    finished: RefCell<Vec<String>>,
    arrived: Cell<usize>,
    refused: RefCell<Vec<(AcceptError, String)>>,
}

/// Pieces, with or without an announced length, and perhaps a gate before the last.
struct Pieces {
    pieces: VecDeque<Bytes>,
    is_endless: bool,
    gate: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.is_endless {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 8192])))));
        }
        if self.pieces.len() == 1
            && let Some(gate) = &mut self.gate
        {
            std::task::ready!(gate.as_mut().poll(cx));
            self.gate = None;
        }
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        !self.is_endless && self.pieces.is_empty()
    }
}

impl Handler for House {
    type Body = Pieces;

    async fn handle(self: Rc<Self>, arrival: Arrival) -> Response<Pieces> {
        let path = arrival.parts.uri.path().to_owned();
        let mut body = Pieces { pieces: [Bytes::from_static(b"hello")].into(), is_endless: false, gate: None };
        if let Some(error) = arrival.refused {
            self.refused.borrow_mut().push((error, arrival.parts.method.to_string()));
            return Response::builder().status(if error == AcceptError::Busy { 503 } else { 400 }).body(body).unwrap();
        }
        self.arrived.set(self.arrived.get() + 1);
        match path.as_str() {
            "/panic" => panic!("on purpose"),
            "/wait" => self.gate.notified().await,
            "/slow" => sleep(Duration::from_secs(600)).await,
            "/endless" => body.is_endless = true,
            "/large" => body.pieces = [Bytes::from(vec![b'x'; 1 << 20])].into(),
            "/two" => {
                body.pieces.push_back(Bytes::from_static(b"world"));
                let house = Rc::clone(&self);
                body.gate = Some(Box::pin(async move { house.gate.notified().await }));
            }
            _ => {}
        }
        self.finished.borrow_mut().push(path);
        Response::new(body)
    }
}

struct Server {
    house: Rc<House>,
    rim: Rc<Rim<House>>,
    in_flight: Rc<Tally>,
    drain: Rc<Drain>,
    metrics: Arc<Metrics>,
}

impl Server {
    fn new(in_flight: usize) -> Self {
        let (house, in_flight) = (Rc::new(House::default()), Tally::new(in_flight));
        let metrics = Arc::new(Metrics::new().unwrap());
        let rim = Rc::new(Rim::new(Rc::clone(&house), &in_flight, Arc::clone(&metrics)));
        Self { house, rim, in_flight, drain: Rc::default(), metrics }
    }

    fn connect(&self, protocol: Protocol) -> (DuplexStream, JoinHandle<Ended>) {
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        let (rim, drain) = (Rc::clone(&self.rim), Rc::clone(&self.drain));
        let peer = Peer { address: "192.0.2.1:1060".parse().unwrap(), certificate: None, tls: false };
        (ours, spawn_local(async move { serve(theirs, protocol, peer, rim, &drain).await }))
    }

    fn http1(&self) -> (DuplexStream, JoinHandle<Ended>) {
        self.connect(Protocol::Http1)
    }

    fn counted(&self, event: &str) -> bool {
        self.metrics.render().unwrap().contains(&format!("portcullis_rim_total{{event=\"{event}\"}} 1\n"))
    }
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

async fn ask(stream: &mut DuplexStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n").as_bytes()).await.unwrap();
}

async fn status(stream: &mut DuplexStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

/// Reads one answer whose body is `hello` in chunks.
async fn hello(stream: &mut DuplexStream) {
    assert_eq!(until(stream, "0\r\n\r\n").await.matches("hello").count(), 1);
}

async fn until(stream: &mut DuplexStream, end: &str) -> String {
    let mut seen = String::new();
    while !seen.ends_with(end) {
        let byte = stream.read_u8().await.unwrap_or_else(|_| panic!("ended after {seen:?}"));
        seen.push(char::from(byte));
    }
    seen
}

#[track_caller]
fn about(start: Instant, expected: Duration) {
    let elapsed = start.elapsed();
    assert!(elapsed >= expected && elapsed < expected + Duration::from_secs(1), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_closed() {
    local(async {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let start = Instant::now();
            let (_stream, served) = Server::new(9).connect(protocol);
            assert_eq!(served.await.unwrap(), Ended::Slow, "{protocol:?}");
            about(start, limits::REQUEST_HEAD);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_in_is_closed() {
    local(async {
        let (mut stream, served) = Server::new(9).http1();
        let start = Instant::now();
        spawn_local(async move {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: gw\r\n").await.unwrap();
            while stream.write_all(b"x: y\r\n").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(served.await.unwrap(), Ended::Slow);
        about(start, limits::REQUEST_HEAD);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_a_while() {
    local(async {
        let (mut stream, served) = Server::new(9).http1();
        for _ in 0..3 {
            ask(&mut stream, "/").await;
            hello(&mut stream).await;
            sleep(limits::KEEP_ALIVE_IDLE - Duration::from_secs(1)).await;
        }
        ask(&mut stream, "/").await;
        hello(&mut stream).await;
        let start = Instant::now();
        assert_eq!(served.await.unwrap(), Ended::Slow);
        about(start, limits::KEEP_ALIVE_IDLE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_as_long_as_the_first() {
    local(async {
        let (mut stream, served) = Server::new(9).http1();
        ask(&mut stream, "/").await;
        hello(&mut stream).await;
        sleep(limits::KEEP_ALIVE_IDLE / 2).await;
        let start = Instant::now();
        stream.write_all(b"GET").await.unwrap();
        assert_eq!(served.await.unwrap(), Ended::Slow);
        about(start, limits::REQUEST_HEAD);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn our_own_time_is_not_the_clients() {
    local(async {
        let (mut stream, _served) = Server::new(9).http1();
        let start = Instant::now();
        ask(&mut stream, "/slow").await;
        hello(&mut stream).await;
        about(start, Duration::from_secs(600));
        ask(&mut stream, "/two").await;
        until(&mut stream, "hello\r\n").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_closed() {
    local(async {
        let server = Server::new(9);
        // One body is not asked for more, the other has been handed over whole.
        for path in ["/endless", "/large"] {
            let (mut stream, served) = server.http1();
            let start = Instant::now();
            ask(&mut stream, path).await;
            assert_eq!(served.await.unwrap(), Ended::Slow, "{path}");
            about(start, limits::RESPONSE_STALL);
            assert_eq!(server.in_flight.count(), 0, "{path}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_now_and_then_is_served() {
    local(async {
        let (mut stream, served) = Server::new(9).http1();
        ask(&mut stream, "/endless").await;
        let mut piece = vec![0; 64 * 1024];
        for _ in 0..5 {
            sleep(limits::RESPONSE_STALL - Duration::from_secs(1)).await;
            stream.read_exact(&mut piece).await.unwrap();
        }
        assert!(!served.is_finished());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_retire() {
    local(async {
        let server = Server::new(9);
        let (mut stream, served) = server.http1();
        let start = Instant::now();
        let mut requests = 0;
        while !served.is_finished() {
            ask(&mut stream, "/").await;
            hello(&mut stream).await;
            requests += 1;
            sleep(Duration::from_secs(30)).await;
        }
        assert_eq!(served.await.unwrap(), Ended::Closed);
        // 1060 is 10 modulo 21: neither younger nor older than the others.
        assert!(
            start.elapsed() >= limits::CONNECTION_AGE
                && start.elapsed() <= limits::CONNECTION_AGE + Duration::from_secs(30)
        );
        assert_eq!(server.house.arrived.get(), requests);
    })
    .await;
}

#[tokio::test]
async fn heads_have_a_size_and_a_count() {
    local(async {
        let server = Server::new(9);
        for (headers, expected) in [(limits::REQUEST_HEADERS, 200), (limits::REQUEST_HEADERS + 1, 400)] {
            let (mut stream, _served) = server.http1();
            let fields: String = (1..headers).map(|number| format!("x-{number}: y\r\n")).collect();
            stream.write_all(format!("GET / HTTP/1.1\r\nHost: gw\r\n{fields}\r\n").as_bytes()).await.unwrap();
            assert_eq!(status(&mut stream).await, expected, "{headers} headers");
        }
        let frame = "GET / HTTP/1.1\r\nHost: gw\r\nx: \r\n\r\n".len();
        for (over, expected) in [(0, 200), (1, 400)] {
            let (stream, _served) = server.http1();
            let filler = "y".repeat(limits::REQUEST_HEAD_BYTES - frame + over);
            let (mut read, mut write) = tokio::io::split(stream);
            spawn_local(async move {
                let _ = write.write_all(format!("GET / HTTP/1.1\r\nHost: gw\r\nx: {filler}\r\n\r\n").as_bytes()).await;
                yield_now().await;
                write
            });
            let mut line = [0; 12];
            read.read_exact(&mut line).await.unwrap();
            assert_eq!(std::str::from_utf8(&line[9..]).unwrap(), expected.to_string(), "{over} over");
        }
    })
    .await;
}

#[tokio::test]
async fn a_panic_ends_one_exchange_and_its_connection() {
    local(async {
        let server = Server::new(9);
        let (mut bystander, _served) = server.http1();
        ask(&mut bystander, "/wait").await;
        let (mut stream, served) = server.http1();
        ask(&mut stream, "/panic").await;
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "", "nobody is left who could record an answer");
        assert_eq!(served.await.unwrap(), Ended::Closed);
        server.house.gate.notify_one();
        hello(&mut bystander).await;
        assert!(server.counted("panic"));
        assert_eq!(server.in_flight.count(), 0);
    })
    .await;
}

#[tokio::test]
async fn too_many_in_flight_are_refused_at_once() {
    local(async {
        let server = Server::new(1);
        let (mut first, _served) = server.http1();
        ask(&mut first, "/two").await;
        until(&mut first, "hello\r\n").await;
        // The head is sent and half of the body: the exchange is still in flight.
        let (mut second, _served) = server.http1();
        ask(&mut second, "/").await;
        let refused = until(&mut second, "0\r\n\r\n").await;
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert_eq!(server.house.arrived.get(), 1);
        assert_eq!(*server.house.refused.borrow(), [(AcceptError::Busy, "GET".to_owned())]);
        server.house.gate.notify_one();
        until(&mut first, "world\r\n0\r\n\r\n").await;
        ask(&mut second, "/").await;
        hello(&mut second).await;
        assert!(server.counted("shed"));
    })
    .await;
}

#[tokio::test]
async fn an_exchange_outlives_its_client() {
    local(async {
        let server = Server::new(9);
        let (mut stream, served) = server.http1();
        ask(&mut stream, "/wait").await;
        while server.house.arrived.get() == 0 {
            yield_now().await;
        }
        drop(stream);
        assert_eq!(served.await.unwrap(), Ended::Closed);
        assert!(server.house.finished.borrow().is_empty());
        assert_eq!(server.in_flight.count(), 1);
        server.house.gate.notify_one();
        server.in_flight.empty().await;
        assert_eq!(*server.house.finished.borrow(), ["/wait"]);
    })
    .await;
}

#[tokio::test]
async fn draining_closes_the_idle_and_finishes_the_rest() {
    local(async {
        let server = Server::new(9);
        let (mut idle, idle_served) = server.http1();
        ask(&mut idle, "/").await;
        hello(&mut idle).await;
        let (mut busy, busy_served) = server.http1();
        ask(&mut busy, "/two").await;
        until(&mut busy, "hello\r\n").await;
        server.drain.begin();
        assert_eq!(idle_served.await.unwrap(), Ended::Closed);
        assert!(!busy_served.is_finished());
        server.house.gate.notify_one();
        until(&mut busy, "world\r\n0\r\n\r\n").await;
        assert_eq!(busy_served.await.unwrap(), Ended::Closed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn draining_leaves_a_moment_for_a_first_request() {
    local(async {
        let server = Server::new(9);
        let (_silent, silent_served) = server.http1();
        let (mut late, late_served) = server.http1();
        yield_now().await;
        let start = Instant::now();
        server.drain.begin();
        yield_now().await;
        ask(&mut late, "/").await;
        assert!(until(&mut late, "0\r\n\r\n").await.contains("connection: close\r\n"));
        assert_eq!(late_served.await.unwrap(), Ended::Closed);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(silent_served.await.unwrap(), Ended::Slow);
        about(start, limits::DRAIN_FIRST_REQUEST);
    })
    .await;
}

type Http2 = client::conn::http2::SendRequest<Empty<Bytes>>;

async fn http2_client(server: &Server) -> (Http2, JoinHandle<Ended>) {
    let (stream, served) = server.connect(Protocol::Http2);
    let (sender, connection) = client::conn::http2::handshake(Local, TokioIo::new(stream)).await.unwrap();
    spawn_local(connection);
    (sender, served)
}

fn http2_request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://gw{path}")).body(Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn http2_is_served_and_closed_when_idle() {
    local(async {
        let (mut sender, served) = http2_client(&Server::new(9)).await;
        for _ in 0..2 {
            let answer = sender.send_request(http2_request("/")).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        }
        let start = Instant::now();
        assert_eq!(served.await.unwrap(), Ended::Slow);
        about(start, limits::KEEP_ALIVE_IDLE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_head_has_no_body_on_http2_either() {
    local(async {
        let (mut sender, _served) = http2_client(&Server::new(9)).await;
        let request = Request::head("http://gw/").body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
        let answer = sender.send_request(http2_request("/")).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_unread_stream_ends_an_http2_connection() {
    local(async {
        let server = Server::new(9);
        let (mut sender, served) = http2_client(&server).await;
        let start = Instant::now();
        let _unread = sender.send_request(http2_request("/endless")).await.unwrap();
        // The connection is alive and other streams are served; that does not excuse the first.
        let mut others = sender.clone();
        spawn_local(async move {
            while let Ok(answer) = others.send_request(http2_request("/")).await {
                answer.into_body().collect().await.unwrap();
                sleep(Duration::from_secs(5)).await;
            }
        });
        let ended = timeout(2 * limits::RESPONSE_STALL, served).await.expect("still open");
        assert_eq!(ended.unwrap(), Ended::Slow);
        about(start, limits::RESPONSE_STALL);
        server.in_flight.empty().await;
    })
    .await;
}

#[tokio::test]
async fn http2_streams_fail_alone_and_drain() {
    local(async {
        let server = Server::new(9);
        let (mut sender, served) = http2_client(&server).await;
        let mut waiting = Box::pin(sender.send_request(http2_request("/two")));
        let answer = (&mut waiting).await.unwrap();
        assert!(sender.send_request(http2_request("/panic")).await.is_err());
        // The connection says goodbye, but what was begun is finished.
        server.house.gate.notify_one();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "helloworld");
        assert_eq!(served.await.unwrap(), Ended::Closed);
    })
    .await;
}

#[tokio::test]
async fn a_header_list_that_h2_would_answer_itself_ends_the_connection() {
    local(async {
        let server = Server::new(9);
        for (size, is_answered) in [(limits::H2_HEADER_LIST / 2, true), (limits::H2_HEADER_LIST + 1, false)] {
            let (stream, _served) = server.connect(Protocol::Http2);
            let builder = client::conn::http2::Builder::new(Local);
            let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
            spawn_local(connection);
            let mut request = http2_request("/");
            request.headers_mut().insert("x-large", "y".repeat(size as usize).parse().unwrap());
            let answer = sender.send_request(request).await;
            assert_eq!(answer.map(|answer| answer.status().as_u16()).ok(), is_answered.then_some(200), "{size}");
        }
        assert_eq!(server.house.arrived.get(), 1);
    })
    .await;
}
