//! The credentials that calls are signed with, asked for once for as long as they serve.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, Result as Provided, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

use crate::doors::Clock;

/// New ones are asked for so long before the old ones end. The metadata service has those of a role five minutes before.
const EARLY: Duration = Duration::from_secs(60);

/// Whoever gives credentials without an end may give others, some time.
const WITHOUT_END: Duration = Duration::from_secs(15 * 60);

/// Asks `inner`, and remembers what it gave. Where that is to be renewed and cannot be, what is there serves to its end.
pub(super) struct Remembered {
    inner: SharedCredentialsProvider,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<Held>>,
}

struct Held {
    credentials: Credentials,
    renew: SystemTime,
}

impl Remembered {
    pub(super) fn new(inner: SharedCredentialsProvider, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, held: Mutex::new(None) }
    }

    /// The lock is held while new ones are asked for, so that one question serves all who wait.
    async fn credentials(&self) -> Provided {
        let mut held = self.held.lock().await;
        let now = UNIX_EPOCH + Duration::from_millis(self.clock.now().wall.0);
        if let Some(held) = held.as_ref().filter(|held| now < held.renew) {
            return Ok(held.credentials.clone());
        }
        match (self.inner.provide_credentials().await, held.as_ref()) {
            (Ok(credentials), _) => {
                let renew = credentials.expiry().map_or(now + WITHOUT_END, |end| end - EARLY);
                *held = Some(Held { credentials: credentials.clone(), renew });
                Ok(credentials)
            }
            (Err(_), Some(held)) if held.credentials.expiry().is_none_or(|end| now < end) => {
                Ok(held.credentials.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}

impl ProvideCredentials for Remembered {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remembered({:?})", self.inner)
    }
}
