//! Stands in for `control` until it is there: same face, no probes.

use std::fmt;
use std::net::ToSocketAddrs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use config::model::Config;

#[derive(Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Given(Config),
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) source: Source,
    #[expect(dead_code)]
    pub(crate) watch: bool,
    #[expect(dead_code)]
    pub(crate) version: &'static str,
    #[expect(dead_code)]
    pub(crate) runtime_dir: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Failed(String);
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Failed {}

pub(crate) struct Control {
    handle: proxy::Handle,
    source: Source,
}

impl Control {
    pub(crate) async fn start(options: Options) -> Result<Self, Failed> {
        let (log, lines) = std::sync::mpsc::sync_channel::<Vec<u8>>(64);
        std::thread::spawn(move || {
            use std::io::Write;
            for batch in lines {
                let _ = std::io::stdout().write_all(&batch);
            }
        });
        let workers = NonZeroUsize::new(net::cores()).unwrap_or(NonZeroUsize::MIN);
        let handle = proxy::Handle::start(proxy::Options { workers, descriptors: net::raise_descriptor_limit(), log, seed: 1 })
            .map_err(|e| Failed(e.to_string()))?;
        let control = Self { handle, source: options.source };
        control.reload().await?;
        Ok(control)
    }

    pub(crate) async fn reload(&self) -> Result<(), Failed> {
        let config = match &self.source {
            Source::File(path) => config::load(path).map_err(|e| Failed(e.to_string()))?,
            Source::Given(config) => config.clone(),
        };
        let resolve = |host: &str, port: u16| (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
        self.handle.publish(proxy::Plan::compile(&config, &resolve, self.handle.board())).await.map_err(|e| Failed(e.to_string()))
    }

    pub(crate) async fn shutdown(&self) -> bool {
        self.handle.drain(std::time::Duration::from_secs(30)).await
    }
}
