//! What the stack costs by itself: hyper on one core, and nothing between its server and its client.
//!
//! Takes: the address to listen on, and that of the EHR. Gives: what the EHR answers. `compare.py` measures it beside the gateway:
//! whatever the gateway does for a request, it does on top of this.
//!
//!     cargo build --release --example forwarder && target/release/examples/forwarder 127.0.0.1:8080 127.0.0.1:9090

#![expect(clippy::expect_used, reason = "a peer of a benchmark")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

type Idle = Rc<RefCell<Vec<SendRequest<Full<Bytes>>>>>;

fn main() {
    let addresses: Vec<SocketAddr> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [own, ehr] = addresses[..] else {
        eprintln!("usage: forwarder LISTEN EHR");
        std::process::exit(64);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, serve(own, ehr));
}

async fn serve(own: SocketAddr, ehr: SocketAddr) {
    let listener = TcpListener::bind(own).await.expect("an address that is free");
    let idle = Idle::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let idle = Rc::clone(&idle);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| forward(Rc::clone(&idle), ehr, request));
            let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(idle: Idle, ehr: SocketAddr, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let kept = idle.borrow_mut().pop();
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(ehr).await?,
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let onward = Request::get(path).header("host", "ehr").body(Full::default()).expect("a request");
    let (mut head, body) = sender.send_request(onward).await?.into_parts();
    let bytes = body.collect().await?.to_bytes();
    idle.borrow_mut().push(sender);
    head.headers.remove("transfer-encoding");
    Ok(Response::from_parts(head, Full::new(bytes)))
}

async fn connect(ehr: SocketAddr) -> hyper::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(ehr).await.expect("an ehr that listens");
    let _ = stream.set_nodelay(true);
    let (sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}
