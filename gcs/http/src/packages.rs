//! Uploaded archives, by name. A name appears when its content is whole and on the disk, and the content never changes.

use crate::routes::{App, json};
use crate::{ApiError, Head, Stored};
use axum::body::Body;
use axum::extract::{Path as Parts, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use iosdk_complain::complain;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An upload that stands still for so long is given up.
const STANDSTILL: Duration = Duration::from_secs(30);
/// What a file system allows.
const NAME_MAX: usize = 255;
/// Names of uploads begin so, which no package's name does.
const UNFINISHED: &str = ".upload-";

/// Where the package of the URI `protocol://name` lies, once it has been uploaded.
pub fn package_path(packages: &Path, protocol: &str, name: &str) -> Result<PathBuf, ApiError> {
    if protocol != "gcs" {
        return Err(ApiError::invalid(format!("packages are uploaded under the protocol gcs, got {protocol:?}")));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+!".contains(&byte);
    let starts = name.bytes().next().is_some_and(|first| first != b'.' && first != b'-');
    if starts && name.len() <= NAME_MAX && name.bytes().all(legal) {
        return Ok(packages.join(name));
    }
    let given = name.chars().take(NAME_MAX).collect::<String>();
    let rule = format!("1 to {NAME_MAX} letters, digits and ._-+! that do not begin with . or -");
    Err(ApiError::invalid(format!("a package's name must be {rule}, got {given:?} of {} bytes", name.len())))
}

/// Removes what uploads left behind that a killed head did not finish. To be called before anything is served.
pub fn sweep_uploads(packages: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(packages)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(crate) async fn exists<H: Head>(
    State(app): State<App<H>>,
    Parts((protocol, name)): Parts<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let path = package_path(&app.head.packages(), &protocol, &name)?;
    if there(&path).await? {
        Ok(StatusCode::OK)
    } else {
        Err(ApiError::not_found(format!("no package {protocol}://{name}")))
    }
}

async fn there(path: &Path) -> Result<bool, ApiError> {
    let path = path.to_owned();
    on_disk(move || path.try_exists()).await
}

pub(crate) async fn upload<H: Head>(
    State(app): State<App<H>>,
    Parts((protocol, name)): Parts<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let packages = app.head.packages();
    let path = package_path(&packages, &protocol, &name)?;
    if there(&path).await? {
        // The client sends before it listens: what it sends is taken and dropped.
        receive(body, None).await?;
        return json(&Stored { stored: false });
    }
    let unfinished = Unfinished::create(&packages).await?;
    let unfinished = receive(body, Some(unfinished)).await?;
    let stored = match unfinished {
        Some(unfinished) => on_disk(move || unfinished.publish(&path)).await?,
        None => false,
    };
    json(&Stored { stored })
}

/// Takes the whole body, piece by piece.
async fn receive(mut body: Body, mut into: Option<Unfinished>) -> Result<Option<Unfinished>, ApiError> {
    loop {
        let frame = match tokio::time::timeout(STANDSTILL, body.frame()).await {
            Ok(None) => return Ok(into),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(ApiError::invalid(format!("the upload broke off: {error}"))),
            Err(_elapsed) => {
                let text = format!("the upload stood still for {} s", STANDSTILL.as_secs());
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, text));
            }
        };
        // Trailers are no content.
        let Ok(piece) = frame.into_data() else { continue };
        if let Some(mut unfinished) = into.take() {
            into = Some(on_disk(move || unfinished.write(&piece).map(|()| unfinished)).await?);
        }
    }
}

/// On a thread that may wait for the disk.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(error.to_string()))?;
    done.map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            ApiError::new(StatusCode::INSUFFICIENT_STORAGE, format!("the head's disk is full: {error}"))
        }
        _ => ApiError::internal(format!("the package store failed: {error}")),
    })
}

/// A file under a name that is not a package's. Removed when dropped.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    async fn create(packages: &Path) -> Result<Self, ApiError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = packages.join(format!("{UNFINISHED}{}-{n}", std::process::id()));
        on_disk(move || {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            Ok(Self { path, file })
        })
        .await
    }

    fn write(&mut self, piece: &Bytes) -> io::Result<()> {
        self.file.write_all(piece)
    }

    /// False when the name was taken meanwhile. A link, not a rename: it never replaces what is there.
    fn publish(self, path: &Path) -> io::Result<bool> {
        self.file.sync_all()?;
        match std::fs::hard_link(&self.path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        }
        let folder = path.parent().ok_or_else(|| io::Error::other("a package lies in no folder"))?;
        File::open(folder)?.sync_all()?;
        Ok(true)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            complain!("http: an upload that ended leaves {}: {error}", self.path.display());
        }
    }
}
