//! Trace files: who was asked for, in which order, and how large it was.
//!
//! A trace is an array of unsigned 32-bit little-endian integers and nothing else, usually compressed by zstd:
//! `NAME.key.u32.zst` holds one object id per request, `NAME.size.u32.zst` beside it, when there is one, the object's
//! bytes at the same request. The ending says how to read a file: `.u32` plain, `.u32.zst` compressed.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ruzstd::decoding::StreamingDecoder;

use crate::failure::Failure;
use crate::payload::MAX_VALUE_SIZE;

/// The bytes of a value when neither the trace nor the user says.
const DEFAULT_VALUE_SIZE: u32 = 128;

/// A trace in memory, with its objects numbered 0, 1, 2, ... in order of first appearance.
pub struct Trace {
    name: String,
    requests: Vec<u32>,
    ids: Vec<u32>,
    sizes: ValueSizes,
}

/// How many bytes the value of a request has.
pub enum ValueSizes {
    Same(u32),
    PerRequest(Vec<u32>),
}

impl Trace {
    /// Reads the trace at `path`, and the sizes beside it unless `value_size` replaces them.
    pub fn load(path: &Path, value_size: Option<u32>) -> Result<Self, Failure> {
        let name = name_of(path)?;
        let keys = read_numbers(path)?;
        if keys.is_empty() {
            return Err(Failure::request(format!("{}: holds no request", path.display())));
        }
        let sizes = match (value_size, sizes_beside(path, &name)) {
            (Some(size), _) => ValueSizes::Same(size),
            (None, None) => ValueSizes::Same(DEFAULT_VALUE_SIZE),
            (None, Some(beside)) => ValueSizes::PerRequest(read_sizes(&beside, keys.len())?),
        };
        let (requests, ids) = numbered(keys);
        Ok(Self { name, requests, ids, sizes })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object of each request, as an index into [`Trace::ids`].
    pub fn requests(&self) -> &[u32] {
        &self.requests
    }

    /// The id each unique object has in the file.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub fn sizes(&self) -> &ValueSizes {
        &self.sizes
    }
}

impl ValueSizes {
    pub fn at(&self, request: usize) -> usize {
        match self {
            Self::Same(size) => *size as usize,
            Self::PerRequest(sizes) => sizes[request] as usize,
        }
    }

    pub fn least(&self) -> usize {
        match self {
            Self::Same(size) => *size as usize,
            Self::PerRequest(sizes) => sizes.iter().copied().min().unwrap_or(0) as usize,
        }
    }

    pub fn largest(&self) -> usize {
        match self {
            Self::Same(size) => *size as usize,
            Self::PerRequest(sizes) => sizes.iter().copied().max().unwrap_or(0) as usize,
        }
    }
}

/// `web12` for `some/folder/web12.key.u32.zst`.
fn name_of(path: &Path) -> Result<String, Failure> {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = file.strip_suffix(".zst").unwrap_or(file);
    let Some(stem) = stem.strip_suffix(".u32") else {
        return Err(Failure::request(format!("{}: the name of a trace ends in .key.u32.zst or .u32", path.display())));
    };
    if stem.ends_with(".size") || stem.ends_with(".time") {
        return Err(Failure::request(format!("{}: holds sizes or times, not the keys of a trace", path.display())));
    }
    Ok(stem.strip_suffix(".key").unwrap_or(stem).to_owned())
}

fn sizes_beside(path: &Path, name: &str) -> Option<PathBuf> {
    ["size.u32.zst", "size.u32"]
        .into_iter()
        .map(|ending| path.with_file_name(format!("{name}.{ending}")))
        .find(|candidate| candidate.exists())
}

fn read_sizes(path: &Path, requests: usize) -> Result<Vec<u32>, Failure> {
    let sizes = read_numbers(path)?;
    if sizes.len() != requests {
        return Err(Failure::request(format!(
            "{}: holds {} sizes for a trace of {requests} requests",
            path.display(),
            sizes.len()
        )));
    }
    match sizes.iter().position(|&size| size > MAX_VALUE_SIZE) {
        Some(request) => Err(Failure::request(format!(
            "{}: request {request} has {} bytes, more than the {MAX_VALUE_SIZE} that can be replayed",
            path.display(),
            sizes[request]
        ))),
        None => Ok(sizes),
    }
}

fn read_numbers(path: &Path) -> Result<Vec<u32>, Failure> {
    let file = fs::read(path).map_err(|error| Failure::request(format!("{}: {error}", path.display())))?;
    let compressed = path.extension().is_some_and(|ending| ending == "zst");
    let bytes = if compressed {
        decompressed(&file)
            .map_err(|reason| Failure::request(format!("{}: not zstd, or damaged: {reason}", path.display())))?
    } else {
        file
    };
    if bytes.len() % 4 != 0 {
        return Err(Failure::request(format!(
            "{}: {} bytes are no array of 32-bit numbers (not a multiple of 4)",
            path.display(),
            bytes.len()
        )));
    }
    Ok(bytes.chunks_exact(4).map(|number| u32::from_le_bytes([number[0], number[1], number[2], number[3]])).collect())
}

/// The content of all frames of a zstd file, each checked against its checksum when it has one.
fn decompressed(mut file: &[u8]) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    while !file.is_empty() {
        let mut frame = StreamingDecoder::new(&mut file).map_err(|error| error.to_string())?;
        frame.read_to_end(&mut content).map_err(|error| error.to_string())?;
        let decoder = frame.into_frame_decoder();
        let stored = decoder.get_checksum_from_data();
        if stored.is_some() && stored != decoder.get_calculated_checksum() {
            return Err("the checksum does not match".to_owned());
        }
    }
    Ok(content)
}

/// Replaces each id by the number of its object; returns the ids of the objects beside.
fn numbered(mut requests: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
    let mut objects = HashMap::new();
    let mut ids = Vec::new();
    for request in &mut requests {
        let id = *request;
        *request = *objects.entry(id).or_insert_with(|| {
            ids.push(id);
            (ids.len() - 1) as u32
        });
    }
    (requests, ids)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// `1, 7, 1, 4294967295` as `zstd` wrote it, checksum at the end.
    const COMPRESSED: [u8; 29] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x81, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x01,
        0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x88, 0x80, 0xeb, 0x25,
    ];

    /// A folder of its own for each test, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("catzilla-replay-{}-{number}", std::process::id()));
            fs::create_dir_all(&path).expect("a temporary folder");
            Self(path)
        }

        fn file(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).expect("a temporary file");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn bytes(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn refused(path: &Path) -> String {
        match Trace::load(path, None) {
            Err(Failure::Request(message)) => {
                assert!(message.starts_with(&path.parent().unwrap_or(path).display().to_string()), "{message}");
                message
            }
            Err(other) => panic!("{other:?}"),
            Ok(trace) => panic!("{} requests were read", trace.requests().len()),
        }
    }

    #[test]
    fn a_plain_file_is_read_and_its_objects_numbered_by_first_appearance() {
        let folder = Folder::new();
        let trace = Trace::load(&folder.file("web.u32", &bytes(&[9, 7, 9, u32::MAX, 7])), None).expect("a trace");
        assert_eq!(trace.name(), "web");
        assert_eq!(trace.requests(), [0, 1, 0, 2, 1]);
        assert_eq!(trace.ids(), [9, 7, u32::MAX]);
        assert_eq!((trace.sizes().least(), trace.sizes().largest(), trace.sizes().at(4)), (128, 128, 128));
    }

    #[test]
    fn a_compressed_file_is_read_also_when_it_has_several_frames() {
        let folder = Folder::new();
        let one = Trace::load(&folder.file("web.key.u32.zst", &COMPRESSED), None).expect("one frame");
        assert_eq!((one.name(), one.requests(), one.ids()), ("web", &[0, 1, 0, 2][..], &[1, 7, u32::MAX][..]));
        let two = Trace::load(&folder.file("two.key.u32.zst", &COMPRESSED.repeat(2)), None).expect("two frames");
        assert_eq!(two.requests(), [0, 1, 0, 2, 0, 1, 0, 2]);
    }

    #[test]
    fn sizes_beside_the_keys_are_taken_unless_one_is_given() {
        let folder = Folder::new();
        let path = folder.file("io.key.u32", &bytes(&[0, 1, 0]));
        folder.file("io.size.u32", &bytes(&[512, 4096, 0]));
        let trace = Trace::load(&path, None).expect("a trace");
        assert_eq!((trace.sizes().least(), trace.sizes().largest(), trace.sizes().at(1)), (0, 4096, 4096));
        let trace = Trace::load(&path, Some(10)).expect("a trace");
        assert_eq!((trace.sizes().least(), trace.sizes().largest(), trace.sizes().at(1)), (10, 10, 10));
    }

    #[test]
    fn a_file_that_is_no_trace_is_refused_with_its_path_and_the_reason() {
        let folder = Folder::new();
        assert!(refused(&folder.0.join("absent.u32")).contains("No such file"));
        assert!(refused(&folder.file("empty.u32", b"")).contains("holds no request"));
        assert!(refused(&folder.file("odd.u32", &[0; 7])).contains("7 bytes"));
        assert!(refused(&folder.file("trace.csv", &[0; 8])).contains("ends in"));
        assert!(refused(&folder.file("web.size.u32.zst", &COMPRESSED)).contains("not the keys"));
        assert!(refused(&folder.file("plain.u32.zst", &[0; 8])).contains("not zstd"));
        assert!(refused(&folder.file("short.u32.zst", &COMPRESSED[..20])).contains("not zstd"));
    }

    #[test]
    fn a_damaged_file_is_noticed_by_its_checksum() {
        let folder = Folder::new();
        let mut damaged = COMPRESSED;
        *damaged.last_mut().expect("not empty") ^= 1;
        assert!(refused(&folder.file("web.u32.zst", &damaged)).contains("checksum"));
    }

    #[test]
    fn sizes_of_another_length_or_too_large_are_refused() {
        let folder = Folder::new();
        let path = folder.file("io.key.u32", &bytes(&[0, 1, 0]));
        folder.file("io.size.u32", &bytes(&[512, 512]));
        assert!(refused(&path).contains("2 sizes for a trace of 3 requests"));
        folder.file("io.size.u32", &bytes(&[512, 512, u32::MAX]));
        assert!(refused(&path).contains("request 2 has 4294967295 bytes"));
    }
}
