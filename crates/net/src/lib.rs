//! The operating system, as the data plane needs it: sockets, descriptors, cores.
//!
//! The only crate in which `unsafe` may stand, each block with its `// SAFETY:`. It knows no HTTP and no configuration.
#![allow(unsafe_code)]

mod cpu;
mod dial;
mod limits;
mod listen;
mod memory;
mod pages;
mod splice;
mod stream;

pub use cpu::{cores, give_way, name_thread};
pub use dial::dial;
pub use limits::raise_descriptor_limit;
pub use listen::{Accept, Acceptor, Bound, bind, bind_beside, is_out_of_descriptors};
pub use memory::give_memory_back;
pub use pages::Pages;
pub use splice::{Pipe, Pipes};
pub use stream::Stream;
