//! Where large results go: a folder or an object store. What is left for the broker is an address.

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Symptom};

/// Bytes of one part that is sent to a store; the smallest that S3 takes.
const PART: usize = 5 << 20;
/// The same for a folder, which takes any.
pub(crate) const FOLDER_PART: usize = 1 << 20;
/// Parts that are under way, while the next one is gathered.
const PARTS: usize = 1;
/// The longest result that goes to the broker as it is.
const INLINE: usize = 64 << 10;
/// What is looked at to tell the type of a file.
const SNIFF: usize = 512;

/// Where the outputs of jobs go, and how large they may be.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// `{path}` is the path of a file in the store.
    public_url: String,
    /// Bytes of one job's outputs together.
    limit: u64,
    /// Bytes that are sent at once: so many are held for each file that is being written, and as many again.
    part: usize,
}

impl Store {
    /// A store. In `public_url`, `{path}` stands for the path of a file.
    pub fn new(objects: Arc<dyn ObjectStore>, public_url: impl Into<String>, limit: u64) -> Self {
        Self { objects, public_url: public_url.into(), limit, part: PART }
    }

    /// With smaller parts, for a store that takes them.
    #[must_use]
    pub(crate) fn parts_of(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// The place for the outputs of one attempt at a job. Another attempt has another, so that a lost worker that still
    /// writes spoils nothing.
    pub fn of(&self, job: &broker::JobId, attempt_id: &str) -> Outputs {
        Outputs { store: self.clone(), prefix: format!("{job}/{attempt_id}"), used: Arc::default() }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A store's own form may hold its credentials.
        f.debug_struct("Store").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The place for the outputs of one attempt.
#[derive(Clone, Debug)]
pub struct Outputs {
    store: Store,
    prefix: String,
    used: Arc<std::sync::atomic::AtomicU64>,
}

/// A file that was stored, as it stands in the result of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Its name among the outputs of the job.
    pub name: String,
    /// Where it can be had.
    pub url: String,
    /// Its length.
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
    /// As its first bytes tell it.
    pub content_type: String,
}

impl Outputs {
    /// Begins a file. The name may come from a service: what cannot be in a path becomes `_`.
    pub fn file(&self, name: &str) -> File {
        let allowed = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
        let clean: String = name.chars().map(|it| if allowed(it) { it } else { '_' }).collect();
        let clean = clean.trim_start_matches('.').to_owned();
        let name = if clean.is_empty() { "output".to_owned() } else { clean };
        File { outputs: self.clone(), name, head: Vec::new(), upload: None, hash: Sha256::new(), bytes: 0 }
    }

    /// A result as it goes to the broker: itself if it is small, else `{"stored": …}` with where its JSON is.
    pub async fn fit(&self, result: Value, name: &str) -> Result<Value, Failure> {
        let text = result.to_string();
        if text.len() <= INLINE {
            return Ok(result);
        }
        let stored = self.put(name, text.as_bytes()).await?;
        Ok(json!({ "stored": Stored { content_type: "application/json".into(), ..stored } }))
    }

    /// Stores what is in memory already.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<Stored, Failure> {
        let mut file = self.file(name);
        file.write(bytes).await?;
        file.finish().await
    }
}

/// A file that is being written, a part at a time.
#[derive(Debug)]
pub struct File {
    outputs: Outputs,
    name: String,
    /// The first bytes, kept to tell the type.
    head: Vec<u8>,
    upload: Option<WriteMultipart>,
    hash: Sha256,
    bytes: u64,
}

impl File {
    /// Writes the next bytes. Nobody sees the file before it is finished.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        use std::sync::atomic::Ordering;
        let limit = self.outputs.store.limit;
        let length = bytes.len() as u64;
        if self.outputs.used.fetch_add(length, Ordering::Relaxed) + length > limit {
            return Err(Failure::permanent(format!("the outputs of the job have more than {limit} bytes")));
        }
        if self.upload.is_none() {
            let upload =
                self.outputs.store.objects.put_multipart(&self.path()).await.map_err(|it| failed(&it))?;
            self.upload = Some(WriteMultipart::new_with_chunk_size(upload, self.outputs.store.part));
        }
        if let Some(upload) = &mut self.upload {
            upload.wait_for_capacity(PARTS).await.map_err(|it| failed(&it))?;
            upload.write(bytes);
        }
        let room = SNIFF.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.hash.update(bytes);
        self.bytes += length;
        Ok(())
    }

    /// Makes the file visible.
    pub async fn finish(mut self) -> Result<Stored, Failure> {
        let path = self.path();
        match self.upload.take() {
            Some(upload) => upload.finish().await.map_err(|it| failed(&it))?,
            None => {
                self.outputs.store.objects.put(&path, Vec::new().into()).await.map_err(|it| failed(&it))?
            }
        };
        let content_type = infer::get(&self.head).map_or("application/octet-stream", |it| it.mime_type());
        Ok(Stored {
            url: self.outputs.store.public_url.replace("{path}", path.as_ref()),
            bytes: self.bytes,
            sha256: hexadecimal(&self.hash.finalize_reset()),
            content_type: content_type.to_owned(),
            name: self.name,
        })
    }

    fn path(&self) -> Path {
        Path::from(format!("{}/{}", self.outputs.prefix, self.name))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, it| text + &format!("{it:02x}"))
}

/// Storing failed: that is nobody's fault but the store's, and may pass.
fn failed(error: &object_store::Error) -> Failure {
    Failure::of(Symptom::Failed, format!("the output could not be stored: {error}"))
}

#[cfg(test)]
mod tests;
