//! One thing measured against another in the same minute: the ratio survives a busy or slow machine, the times do not.
//! Of many short rounds the fastest counts, because whatever else runs can only make one slower.

use std::time::{Duration, Instant};

const ROUNDS: usize = 201;
const ROUND: Duration = Duration::from_millis(1);

/// Runs both in turn on `bytes` of input, and prints and gives the best: how fast `ours` is where `reference` is 1.
pub(crate) fn report(name: &str, bytes: usize, mut ours: impl FnMut(), mut reference: impl FnMut()) -> f64 {
    let repeats = repeats(&mut ours).min(repeats(&mut reference));
    let (mut best, mut limit) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        best = best.min(time(repeats, &mut ours));
        limit = limit.min(time(repeats, &mut reference));
    }
    let speed = |seconds: f64| bytes as f64 * f64::from(repeats) / seconds / 1e6;
    println!("{name:<40} {:>7.0} MB/s  reference {:>7.0} MB/s  ratio {:.2}", speed(best), speed(limit), limit / best);
    limit / best
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
