//! `doctor`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::Arguments;
use crate::voice::Voice;

/// Says that this binary was built without it.
pub(crate) fn run(_: &Arguments, _: &mut Voice) -> Result<Exit, Failure> {
    Err(Failure::new("`doctor` is not in this build"))
}
