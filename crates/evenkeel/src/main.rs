//! The `evenkeel` binary.

use std::num::NonZeroUsize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(3).unwrap_or_default();
    let config = config::load(std::path::Path::new(&path)).map_err(|report| anyhow::anyhow!("{report}"))?;
    let (log, lines) = std::sync::mpsc::sync_channel::<Vec<u8>>(64);
    std::thread::spawn(move || {
        use std::io::Write;
        for batch in lines {
            let _ = std::io::stdout().write_all(&batch);
        }
    });
    let descriptors = net::raise_descriptor_limit();
    let workers = config.workers.or(NonZeroUsize::new(net::cores())).unwrap_or(NonZeroUsize::MIN);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let handle = proxy::Handle::start(proxy::Options { workers, descriptors, log, seed: 1 })?;
        let resolve = |host: &str, port: u16| {
            use std::net::ToSocketAddrs;
            (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
        };
        handle.publish(proxy::Plan::compile(&config, &resolve, handle.board())).await?;
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?.recv().await;
        handle.drain(config.shutdown).await;
        Ok(())
    })
}
