//! The token file: how the other verbs of the same user come to know the token of a process that was given none.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A token in a file that only its owner can read. Removed when dropped.
#[derive(Debug)]
pub(super) struct TokenFile(PathBuf);

/// Where the token of the admin listener at `port` is.
pub(crate) fn path(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!("admin-{port}.token"))
}

impl TokenFile {
    /// Writes the token, mode 0600. The folder is made with mode 0700; one that exists is taken as it is if only we can write to it.
    ///
    /// # Errors
    /// When the system refuses, or the folder is another user's.
    pub(super) fn write(folder: &Path, port: u16, token: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let about = fs::symlink_metadata(folder)?;
        if !about.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if about.mode() & 0o022 != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "other users may write to the folder"));
        }
        let path = path(folder, port);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Never through what somebody else has put there.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = Self(path);
        if file.metadata()?.uid() != about.uid() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder belongs to another user"));
        }
        file.write_all(token.as_bytes())?;
        Ok(written)
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_its_owner_reads_the_token_and_it_goes_with_the_process() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("run/evenkeel");
        let file = TokenFile::write(&folder, 9900, "secret").unwrap();
        let path = path(&folder, 9900);
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_and_a_planted_link_is_not_followed() {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().unwrap();
        let target = base.path().join("target");
        std::os::unix::fs::symlink(&target, path(base.path(), 1)).unwrap();
        let _file = TokenFile::write(base.path(), 1, "secret").unwrap();
        assert!(!target.exists());
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(TokenFile::write(base.path(), 2, "secret").is_err());
        assert!(!path(base.path(), 2).exists());
    }
}
