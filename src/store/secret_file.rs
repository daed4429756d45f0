//! Reading a secret from its file: relative paths in `$CREDENTIALS_DIRECTORY` first; readable for others is refused.

use std::path::Path;

use crate::store::folder::Refused;

/// The bytes of a secret file. Refuses a file that group or world may read or write, one of another owner than root or us, and an
/// empty one; each with the remedy (`LoadCredential=`, or a 0600 copy). systemd's credentials (0400 or 0440 root-owned under
/// `$CREDENTIALS_DIRECTORY`) are fine.
pub fn read(_path: &Path) -> Result<Vec<u8>, Refused> {
    todo!()
}
