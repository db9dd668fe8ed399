//! Looks again and again, until nothing stands in the way any more.

use std::time::Duration;

use tokio::time::sleep;

use super::{Level, Line, worst};

/// From one look to the next.
const LOOK: Duration = Duration::from_secs(5);

/// Looks every five seconds until no line fails; `tell` hears of each look. Returns the worst of the last one, and fails
/// as the look does.
pub async fn until_green<E>(
    mut look: impl AsyncFnMut() -> Result<Vec<Line>, E>,
    mut tell: impl FnMut(&[Line]),
) -> Result<Level, E> {
    loop {
        let found = look().await?;
        tell(&found);
        match worst(&found) {
            Level::Failed => sleep(LOOK).await,
            level @ (Level::Ok | Level::Warning) => return Ok(level),
        }
    }
}
