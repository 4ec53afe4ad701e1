//! Numbers kept about backends and exchanges, in fixed memory.

mod ewma;
mod histogram;
mod window;

pub use ewma::Ewma;
pub use histogram::{BUCKETS, Histogram, bucket_of, value_of};
pub use window::{Counts, Window};
