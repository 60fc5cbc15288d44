//! The fetching step.

pub mod body;
pub mod pool;
