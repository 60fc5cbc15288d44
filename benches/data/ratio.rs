//! One thing measured against another in the same minute: the ratio survives a busy or slow machine, the times do not.

use std::time::{Duration, Instant};

const ROUNDS: usize = 61;
const ROUND: Duration = Duration::from_millis(4);

/// Runs both in turn on `bytes` of input and prints the medians, and how fast `ours` is where `reference` is 1.
pub(crate) fn report(name: &str, bytes: usize, mut ours: impl FnMut(), mut reference: impl FnMut()) {
    let repeats = repeats(&mut ours).min(repeats(&mut reference));
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.0.push(time(repeats, &mut ours));
        times.1.push(time(repeats, &mut reference));
    }
    let (ours, reference) = (median(times.0), median(times.1));
    let speed = |seconds: f64| bytes as f64 * f64::from(repeats) / seconds / 1e6;
    println!(
        "{name:<40} {:>7.0} MB/s  reference {:>7.0} MB/s  ratio {:.2}",
        speed(ours),
        speed(reference),
        reference / ours
    );
}

fn repeats(run: &mut impl FnMut()) -> u32 {
    let mut repeats = 1;
    while time(repeats, run) < ROUND.as_secs_f64() {
        repeats *= 2;
    }
    repeats
}

fn time(repeats: u32, run: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..repeats {
        run();
    }
    start.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
