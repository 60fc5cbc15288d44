//! Faults of the audit log's disk, made from outside the gateway.

use std::fs;
use std::process::Command;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::Gateway;

/// The thread that writes the log.
const WRITER: &str = "audit";

/// The gateway's audit writer, stopped where it is until this is dropped, which the thread that made it must do.
#[derive(Debug)]
pub(crate) struct Held(Pid);

impl Gateway {
    /// From now on every write to a file fails, as on a disk that is full.
    pub(crate) fn fill_disk(&self) -> Result<(), String> {
        let pid = self.pid().ok_or("there is no gateway")?;
        let limited = Command::new("prlimit").arg("--pid").arg(pid.to_string()).arg("--fsize=1:1").status();
        match limited {
            Ok(status) if status.success() => Ok(()),
            _ => Err("a limit on files (prlimit of util-linux)".to_owned()),
        }
    }

    /// From now on the audit writer does not come back: to the rest of the gateway, a disk that hangs.
    pub(crate) fn hang_disk(&self) -> Result<Held, String> {
        let pid = self.pid().ok_or("there is no gateway")?;
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
        let is_writer =
            |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == WRITER);
        let writer = tasks.flatten().find(is_writer).ok_or("no thread writes the audit log")?;
        let thread =
            writer.file_name().to_str().and_then(|id| id.parse().ok()).map(Pid::from_raw).ok_or("no thread")?;
        let failed = |error: nix::Error| format!("stopping a thread (ptrace): {error}");
        ptrace::attach(thread).map_err(failed)?;
        waitpid(thread, Some(WaitPidFlag::__WALL)).map_err(failed)?;
        Ok(Held(thread))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}
