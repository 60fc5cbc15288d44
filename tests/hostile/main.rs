//! The attack suite, run against the program that was just built. See `portcullis::attack`.
//!
//!     cargo test --release --test hostile -- --nocapture
//!     HOSTILE_CASES=other.jsonl …          other cases in the same format
//!     HOSTILE_ONLY=A1-,Z- …                cases whose id begins so
//!     HOSTILE_UPSTREAM=http://…/fhir …     a FHIR server of one's own as the EHR, loaded with the fixtures of data/:
//!                                          the classes about queries, behind a forwarder that records what is asked
//!     HOSTILE_GATEWAY=transparent …        no gateway at all: the suite has to fail, and the run passes if it does
//!     HOSTILE_SHOW=1 …                     every request line and answer
//!     HOSTILE_KEEP=1 …                     the folders of the gateways stay
//!
//! Ends with one line, `hostile: N passed, N failed, N unsupported`. A case that cannot be run, or a key that cannot be
//! judged, is unsupported and fails the run like a failure does.

use std::path::PathBuf;
use std::process::ExitCode;

use portcullis::attack::{self, Options, Settings};

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let options = Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_portcullis")),
        folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        cases: variable("HOSTILE_CASES").map(PathBuf::from),
        only: variable("HOSTILE_ONLY").iter().flat_map(|only| only.split(',')).map(ToOwned::to_owned).collect(),
        upstream: variable("HOSTILE_UPSTREAM"),
        open_door: variable("HOSTILE_GATEWAY").as_deref() == Some("transparent"),
        settings: Settings::default(),
    };
    let report = match attack::run(&options, &mut std::io::stdout()) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (passed, failed, _) = report.totals();
    let is_good = if options.open_door {
        println!("an open door fails {failed} of {} cases that can tell", passed + failed);
        failed > 4 * passed
    } else {
        report.is_clean()
    };
    println!("{report}");
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
