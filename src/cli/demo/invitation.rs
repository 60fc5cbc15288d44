//! What to ask next: commands that can be pasted.

use std::io::{self, Write};
use std::path::PathBuf;

use super::stage::{CLIENT, SEARCH, Stage, TOKEN_MINUTES};
use crate::cli::CONFIG_FILE;
use crate::demo::comparison::Comparison;
use crate::demo::show::Style;

/// A request worth trying.
pub(super) struct Try {
    /// What it shows.
    pub(super) shows: &'static str,
    /// The status of its answer.
    pub(super) status: u16,
    /// Path and query below the base.
    pub(super) target: &'static str,
    /// The form, where it is a POST.
    pub(super) form: Option<&'static str>,
    /// Whether it needs a token.
    pub(super) token: bool,
}

const fn get(shows: &'static str, status: u16, target: &'static str) -> Try {
    Try { shows, status, target, form: None, token: true }
}

/// The requests, from what is released to what is refused.
pub(super) const TRIES: &[Try] = &[
    get("The search above", 200, SEARCH),
    Try {
        form: Some("patient=maren&category=laboratory"),
        ..get("The same search, with the patient in the body instead of the URL", 200, "Observation/_search")
    },
    get("One result: its value is 6.30, as the laboratory wrote it", 200, "Observation/maren-hba1c-2025"),
    get("A record that is withheld looks like one that does not exist", 404, "Observation/maren-hiv-2025"),
    get("So does one whose signature is broken, while it stands in the EHR", 404, "Observation/maren-vitamin-d-2026"),
    get("Another payer's member looks like somebody without results", 200, "Observation?patient=ines"),
    get("A question about everybody is refused, with a reason", 403, "Observation?category=laboratory"),
    Try { token: false, ..get("Without a token nothing is answered", 401, SEARCH) },
    Try { token: false, ..get("But for what the gateway understands", 200, "metadata") },
];

/// Writes all commands.
pub(super) fn write(stage: &Stage, comparison: &Comparison, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}\n", style.heading("Ask it yourself"))?;
    let (ca, token) = (stage.ca_file(), stage.token_file());
    for Try { shows, status, target, form, token: with_token } in TRIES {
        writeln!(out, "  {}", style.quiet(&format!("# {shows}: {status}")))?;
        writeln!(out, "  curl --cacert {} \\", ca.display())?;
        if *with_token {
            writeln!(out, "    -H \"Authorization: Bearer $(cat {})\" \\", token.display())?;
        }
        if let Some(form) = form {
            writeln!(out, "    -d '{form}' \\")?;
        }
        writeln!(out, "    '{}/{target}'\n", stage.base())?;
    }
    writeln!(out, "{}\n", style.heading("Look behind it"))?;
    let mut command = |shows: &str, lines: &[String]| {
        writeln!(out, "  {}", style.quiet(&format!("# {shows}")))?;
        writeln!(out, "  {}\n", lines.join(" \\\n    "))
    };
    let (program, config) = (program().display().to_string(), stage.folder().join(CONFIG_FILE));
    let (admin, audit) = (stage.admin_address(), stage.audit().display());
    command("The open door", &["curl".to_owned(), format!("'{}/{SEARCH}'", stage.open_door())])?;
    command("Whether the gateway is ready", &[format!("curl http://{admin}/health/ready")])?;
    command("What it counts", &[format!("curl http://{admin}/metrics")])?;
    command("Whether its log is sound", &[format!("{program} audit verify {audit}")])?;
    let exchange = format!("--exchange {}", comparison.exchange);
    command("What the log says about the search above", &[format!("{program} audit show {audit}"), exchange])?;
    let config = format!("--config {}", config.display());
    command("Another token, for five minutes", &[format!("{program} token --client {CLIENT}"), config])?;
    writeln!(out, "The token that the commands read from the folder is valid for {TOKEN_MINUTES} minutes")?;
    writeln!(out, "and replaced every 20. Ctrl-C ends everything and removes the folder.")
}

/// How this program is called from the folder it was called from.
fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|_| "portcullis".into());
    let here = std::env::current_dir().unwrap_or_default();
    program.strip_prefix(&here).map(PathBuf::from).unwrap_or(program)
}
