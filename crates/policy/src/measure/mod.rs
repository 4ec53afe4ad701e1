//! Numbers kept about backends and exchanges, in fixed memory.

mod ewma;
mod histogram;
mod quantile;
mod window;

pub use ewma::Ewma;
pub use histogram::{BUCKETS, Histogram, bucket_of, value_of};
pub use quantile::Quantile;
pub use window::{Counts, Window};
