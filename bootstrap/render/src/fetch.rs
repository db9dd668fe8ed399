//! Downloads what is to be pinned.

use std::time::Duration;

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that have arrived.
    pub received: u64,
    /// Bytes in all, where the server said so.
    pub total: Option<u64>,
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server answered with something else than the file.
    #[error("fetching {url}: the server answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// No answer, or one that broke off.
    #[error("fetching {url}")]
    Broken {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Larger than any agent's package.
    #[error("fetching {url}: larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: u64,
    },
}

/// Where files come from: the network, or a test's table.
pub trait Fetch {
    /// The file at `url`, whole; `progress` hears of each piece.
    ///
    /// # Errors
    /// [`FetchError`], naming the URL.
    fn fetch(&self, url: &str, progress: &mut dyn FnMut(Progress))
    -> impl Future<Output = Result<Vec<u8>, FetchError>>;
}

/// Files by HTTP, TLS checked against the system's authorities.
#[derive(Debug, Clone)]
pub struct Https {
    client: reqwest::Client,
}

impl Https {
    /// The largest file that is taken, in bytes. Agents' packages have about 30 MB.
    pub const LARGEST: u64 = 256 << 20;

    /// Prepares a client; proxies are taken from the environment.
    ///
    /// # Errors
    /// When the system's authorities cannot be read.
    pub fn new() -> Result<Self, reqwest::Error> {
        // Fails where the program has chosen a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(15))
            .read_timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { client })
    }
}

impl Fetch for Https {
    async fn fetch(&self, url: &str, progress: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, FetchError> {
        let broken =
            |source: reqwest::Error| FetchError::Broken { url: url.to_owned(), source: source.without_url().into() };
        let too_large = || FetchError::TooLarge { url: url.to_owned(), limit: Self::LARGEST };
        let mut answer = self.client.get(url).send().await.map_err(broken)?;
        if !answer.status().is_success() {
            return Err(FetchError::Status { url: url.to_owned(), status: answer.status().as_u16() });
        }
        let total = answer.content_length();
        if total.is_some_and(|total| total > Self::LARGEST) {
            return Err(too_large());
        }
        let mut file = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            file.extend_from_slice(&piece);
            let received = file.len() as u64;
            if received > Self::LARGEST {
                return Err(too_large());
            }
            progress(Progress { received, total });
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
