//! One evaluation of the policies.
//!
//! Takes: prepared policies and an input. Gives: the decision document as JSON. Guarantees: built-in errors
//! are errors; the evaluation is bounded in time, and a result that comes late is no result, because the
//! engines look at the clock only between steps; a panic inside an engine is contained. Refuses: undefined.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::Program;
use regorus::rvm::vm::{RegoVM, VmError};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{LimitError, Rc, Value};

use super::admission::ENTRY;
use crate::limits;

/// Why there is no decision document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// An error in the policies, or in an engine.
    Evaluation,
    /// Not in time.
    Timeout,
    /// No rule applied and no default did.
    Undefined,
}

/// The reference: regorus' interpreter with policies and data prepared.
#[derive(Clone)]
pub(super) struct Interpreter(regorus::Engine);

impl Interpreter {
    /// Takes policies and data over; everything is compiled here once.
    pub(super) fn prepare(mut engine: regorus::Engine) -> Result<Self, String> {
        engine.set_strict_builtin_errors(true);
        engine.compile_with_entrypoint(&Rc::from(ENTRY)).map_err(|error| last_line(&error.to_string()))?;
        Ok(Self(engine))
    }

    /// The machine's program for the same policies and these rules; or why its compiler refuses.
    pub(super) fn machine(&self, rules: &[&str]) -> Result<Machine, String> {
        let mut engine = self.0.clone();
        let policy = engine.compile_with_entrypoint(&Rc::from(ENTRY)).map_err(|error| last_line(&error.to_string()))?;
        let program = Compiler::compile_from_policy(&policy, rules).map_err(|error| last_line(&error.to_string()))?;
        Ok(Machine { program, data: engine.get_data() })
    }

    /// The first line of the policies, as `file:line`, that is not evaluated for any of these inputs.
    pub(super) fn unreached(&self, inputs: &[Value], files: &[&str]) -> Option<String> {
        let mut engine = self.0.clone();
        engine.set_enable_coverage(true);
        for input in inputs {
            engine.set_input(input.clone());
            // An input on which the evaluation fails reaches what it reaches.
            let _ = engine.eval_rule(ENTRY.to_owned());
        }
        let report = engine.get_coverage_report().ok()?;
        files.iter().find_map(|name| {
            let lines = report.files.iter().find(|file| file.path == *name).map(|file| &file.not_covered);
            match lines {
                None => Some(format!("{name}:1")),
                Some(lines) => lines.first().map(|line| format!("{name}:{line}")),
            }
        })
    }

    /// Evaluates a rule.
    pub(super) fn evaluate(&self, rule: &str, input: Value, time: Duration) -> Result<Value, Failure> {
        timed(time, || {
            let mut engine = self.0.clone();
            engine.set_execution_timer_config(timer(time));
            engine.set_input(input);
            engine.eval_rule(rule.to_owned()).map_err(|error| {
                let late = error.chain().any(|cause| {
                    matches!(cause.downcast_ref::<LimitError>(), Some(LimitError::TimeLimitExceeded { .. }))
                });
                if late { Failure::Timeout } else { Failure::Evaluation }
            })
        })
    }
}

/// The fast engine: regorus' virtual machine.
#[derive(Clone)]
pub(super) struct Machine {
    program: Arc<Program>,
    data: Value,
}

impl Machine {
    /// Evaluates one of the rules that the program was compiled for, by its place among them.
    pub(super) fn evaluate(&self, rule: usize, input: Value, time: Duration) -> Result<Value, Failure> {
        timed(time, || {
            let mut machine = RegoVM::new();
            machine.load_program(self.program.clone());
            machine.set_strict_builtin_errors(true);
            machine.set_max_instructions(limits::POLICY_INSTRUCTIONS);
            machine.set_execution_timer_config(Some(timer(time)));
            machine.set_data(self.data.clone()).map_err(|_| Failure::Evaluation)?;
            machine.set_input(input);
            machine.execute_entry_point_by_index(rule).map_err(|error| match error {
                VmError::TimeLimitExceeded { .. } | VmError::InstructionLimitExceeded { .. } => Failure::Timeout,
                _ => Failure::Evaluation,
            })
        })
    }
}

/// Runs an evaluation; late, undefined and panicking ones fail.
fn timed(time: Duration, evaluate: impl FnOnce() -> Result<Value, Failure>) -> Result<Value, Failure> {
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or(Err(Failure::Evaluation));
    if started.elapsed() > time {
        return Err(Failure::Timeout);
    }
    match outcome {
        Ok(Value::Undefined) => Err(Failure::Undefined),
        outcome => outcome,
    }
}

fn timer(limit: Duration) -> ExecutionTimerConfig {
    ExecutionTimerConfig { limit, check_interval: NonZeroU32::MIN.saturating_add(limits::POLICY_CHECK_INTERVAL - 1) }
}

/// The input document as the engines hold it. `None` where it is not JSON.
pub(super) fn value(input: &[u8]) -> Option<Value> {
    Value::from_json_str(std::str::from_utf8(input).ok()?).ok()
}

/// A value as JSON; sets are arrays.
pub(super) fn json(value: &Value) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|_| Failure::Evaluation)
}

/// The last line of one of regorus' messages, which is what it has to say.
pub(super) fn last_line(message: &str) -> String {
    let line = message.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}
