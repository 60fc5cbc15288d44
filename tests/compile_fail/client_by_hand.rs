//! Nobody is a client who was not identified.
use std::sync::Arc;

use portcullis::config::Registration;
use portcullis::identify::Client;

fn client(registration: Registration) -> Client {
    Client(Arc::new(registration))
}

fn main() {}
