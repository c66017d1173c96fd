//! A hand-written `multipart/form-data` body. Tests need everything that a client may send, and also what it should not
//! send.

const BOUNDARY: &str = "----the-tests-boundary";

/// The parts, in the order in which they are sent.
#[derive(Debug, Clone, Default)]
pub struct Form {
    bytes: Vec<u8>,
}

impl Form {
    pub fn new() -> Self {
        Self::default()
    }

    /// The two parts that every upload needs.
    pub fn upload(user: &str, file: &[u8]) -> Self {
        Self::new().text("user_id", user).file(file)
    }

    pub fn text(self, name: &str, value: &str) -> Self {
        self.raw(&format!("form-data; name=\"{name}\""), None, value.as_bytes())
    }

    pub fn file(self, bytes: &[u8]) -> Self {
        self.file_named("picture.bin", "application/octet-stream", bytes)
    }

    /// `name` is put between the quotes without escaping.
    pub fn file_named(self, name: &str, content_type: &str, bytes: &[u8]) -> Self {
        self.raw(&format!("form-data; name=\"file\"; filename=\"{name}\""), Some(content_type), bytes)
    }

    /// Adds a part with this `Content-Disposition`.
    pub fn raw(mut self, disposition: &str, content_type: Option<&str>, bytes: &[u8]) -> Self {
        let content_type = content_type.map(|text| format!("Content-Type: {text}\r\n")).unwrap_or_default();
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{content_type}\r\n");
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    pub fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.bytes
    }
}
