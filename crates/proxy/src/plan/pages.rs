//! Pages in place of errors.

use config::model::ErrorPage;

/// A route's pages.
#[derive(Debug, Default)]
pub(crate) struct Pages(Box<[ErrorPage]>);

impl Pages {
    pub(crate) fn compile(pages: &[ErrorPage]) -> Self {
        Self(pages.into())
    }

    /// The page for an error of ours.
    pub(crate) fn own(&self, status: u16) -> Option<&ErrorPage> {
        self.0.iter().find(|page| page.status.contains(&status))
    }

    /// The page in place of a backend's answer.
    pub(crate) fn upstream(&self, status: u16) -> Option<&ErrorPage> {
        self.own(status).filter(|page| page.upstream)
    }
}
