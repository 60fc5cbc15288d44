//! What a suite must find out: a forwarder that lets every byte through, in the place of the gateway.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// Starts it in front of a server.
pub(super) fn start(server: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(behind) = TcpStream::connect(server) else { continue };
            let both = client.try_clone().and_then(|one| behind.try_clone().map(|other| (one, other)));
            let Ok((back, forth)) = both else { continue };
            std::thread::spawn(move || pass(client, forth));
            std::thread::spawn(move || pass(behind, back));
        }
    });
    Ok(address)
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(bytes.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
