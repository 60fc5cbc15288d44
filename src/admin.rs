//! What operators ask: is it alive, is it ready and why not, what are the numbers.
//!
//! Takes: the metrics and something that knows about [`Readiness`]. Gives: `GET /health/live`,
//! `GET /health/ready` and `GET /metrics`, in plain text on an address of their own, which is not meant for
//! clients. Guarantees: a thread of its own, so that it answers while the cores are busy; nothing about a
//! patient or a client. Refuses: everything else.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::combinators::MapErr;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use crate::accept::Arrival;
use crate::limits;
use crate::listen::{Handler, ListenError, Running, Settings, serve as listen};
use crate::metrics::Metrics;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Knows whether the gateway can answer requests now.
pub trait Readiness: Send + Sync + 'static {
    /// What is missing, in a few fixed words each; empty if nothing is.
    fn missing(&self) -> Vec<&'static str>;
}

impl<F: Fn() -> Vec<&'static str> + Send + Sync + 'static> Readiness for F {
    fn missing(&self) -> Vec<&'static str> {
        self()
    }
}

/// Starts the listener for operators, on one thread.
///
/// # Errors
/// Those of [`crate::listen::serve`].
pub fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Arc<dyn Readiness>,
) -> Result<Running, ListenError> {
    // Operators' own connections are not part of what they look at.
    let own = Arc::new(Metrics::new().map_err(|_| ListenError::Core)?);
    let settings =
        Settings { cores: NonZeroUsize::MIN, connections: limits::ADMIN_CONNECTIONS, ..Settings::new(address, own) };
    listen(settings, move |_| Rc::new(Admin { metrics: Arc::clone(&metrics), readiness: Arc::clone(&readiness) }))
}

struct Admin {
    metrics: Arc<Metrics>,
    readiness: Arc<dyn Readiness>,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    missing: Vec<&'static str>,
}

impl Admin {
    fn answer(&self, method: &Method, path: &str) -> (StatusCode, HeaderValue, String) {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".to_owned());
        }
        match path {
            "/health/live" => (StatusCode::OK, JSON, r#"{"live":true}"#.to_owned()),
            "/health/ready" => self.ready(),
            "/metrics" => match self.metrics.render() {
                Ok(text) => (StatusCode::OK, EXPOSITION, text),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
            },
            _ => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        }
    }

    fn ready(&self) -> (StatusCode, HeaderValue, String) {
        let missing = self.readiness.missing();
        let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let ready = Ready { ready: missing.is_empty(), missing };
        (status, JSON, serde_json::to_string(&ready).unwrap_or_default())
    }
}

impl Handler for Admin {
    type Body = MapErr<Full<Bytes>, fn(Infallible) -> Box<dyn Error + Send + Sync>>;

    async fn handle(self: Rc<Self>, arrival: Arrival) -> Response<Self::Body> {
        let (status, kind, text) = self.answer(&arrival.parts.method, arrival.parts.uri.path());
        let unfailing: fn(Infallible) -> Box<dyn Error + Send + Sync> = |never| match never {};
        let mut response = Response::new(Full::new(Bytes::from(text)).map_err(unfailing));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use http::Request;

    use super::*;
    use crate::outbound::{Origin, once};

    async fn ask(running: &Running, method: &str, path: &str) -> (u16, String, String) {
        let origin = Origin::parse(&format!("http://{}", running.address())).unwrap();
        let request = Request::builder().method(method).uri(path).body(Full::default()).unwrap();
        let answer = once(&origin, None, request, 1 << 20, Duration::from_secs(9)).await.unwrap();
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, String::from_utf8(answer.into_body().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn operators_are_answered() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let is_ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&is_ready);
        let readiness = move || if asked.load(Ordering::SeqCst) { vec![] } else { vec!["audit log", "key set"] };
        let running = serve("127.0.0.1:0".parse().unwrap(), Arc::clone(&metrics), Arc::new(readiness)).unwrap();

        let json = "application/json".to_owned();
        assert_eq!(ask(&running, "GET", "/health/live").await, (200, json.clone(), r#"{"live":true}"#.to_owned()));
        let missing = r#"{"ready":false,"missing":["audit log","key set"]}"#.to_owned();
        assert_eq!(ask(&running, "GET", "/health/ready").await, (503, json.clone(), missing));
        is_ready.store(true, Ordering::SeqCst);
        let ready = r#"{"ready":true,"missing":[]}"#.to_owned();
        assert_eq!(ask(&running, "GET", "/health/ready").await, (200, json, ready));

        metrics.audit_failure();
        let (status, kind, text) = ask(&running, "GET", "/metrics").await;
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        assert!(text.contains("portcullis_audit_failures_total 1\n"), "{text}");
        assert!(text.contains("portcullis_connections 0\n"), "{text}");

        assert_eq!(ask(&running, "HEAD", "/health/live").await.2, "");
        for path in ["/", "/health", "/metrics/", "/health/live/x"] {
            assert_eq!(ask(&running, "GET", path).await.0, 404, "{path}");
        }
        assert_eq!(ask(&running, "POST", "/health/live").await.0, 405);
        assert_eq!(running.drain().await, 0);
    }
}
