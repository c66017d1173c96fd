//! Builds metadata blocks with a location (EXIF, XMP, IPTC, image resources) and minimal images to put them into.

use md5::{Digest, Md5};

/// In every text with a location.
pub const PLACE: &str = "Xanaduville";
/// In every coordinate. Its four bytes differ in both byte orders.
pub const COORDINATE: u32 = 0x2345_6789;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Big,
    Little,
}

pub struct TiffBuilder {
    pub order: Order,
    pub bytes: Vec<u8>,
}

/// Tag, type, count, value.
pub type Entry = (u16, u16, u32, Vec<u8>);

impl TiffBuilder {
    pub fn new(order: Order) -> Self {
        let mut builder = TiffBuilder { order, bytes: Vec::new() };
        builder.bytes.extend(if order == Order::Big { *b"MM\0*" } else { *b"II*\0" });
        builder.bytes.extend([0; 4]);
        builder
    }

    pub fn u16(&self, value: u16) -> Vec<u8> {
        if self.order == Order::Big { value.to_be_bytes().into() } else { value.to_le_bytes().into() }
    }

    pub fn u32(&self, value: u32) -> Vec<u8> {
        if self.order == Order::Big { value.to_be_bytes().into() } else { value.to_le_bytes().into() }
    }

    pub fn long(&self, tag: u16, value: u32) -> Entry {
        (tag, 4, 1, self.u32(value))
    }

    pub fn ascii(&self, tag: u16, text: &str) -> Entry {
        let value = [text.as_bytes(), &[0]].concat();
        (tag, 2, value.len() as u32, value)
    }

    pub fn rationals(&self, tag: u16, values: &[(u32, u32)]) -> Entry {
        let value = values.iter().flat_map(|&(over, under)| [self.u32(over), self.u32(under)].concat()).collect();
        (tag, 5, values.len() as u32, value)
    }

    /// Appends values and then the IFD, and returns the offset of the IFD.
    pub fn ifd(&mut self, entries: &[Entry], next: u32) -> u32 {
        let mut table = self.u16(entries.len() as u16);
        for (tag, kind, count, value) in entries {
            let mut field = value.clone();
            if value.len() > 4 {
                field = self.u32(self.bytes.len() as u32);
                self.bytes.extend(value);
                self.bytes.resize(self.bytes.len().next_multiple_of(2), 0);
            }
            field.resize(4, 0);
            table.extend([self.u16(*tag), self.u16(*kind), self.u32(*count), field].concat());
        }
        table.extend(self.u32(next));
        let offset = self.bytes.len() as u32;
        self.bytes.extend(table);
        offset
    }

    pub fn finish(mut self, first: u32) -> Vec<u8> {
        let first = self.u32(first);
        self.bytes[4..8].copy_from_slice(&first);
        self.bytes
    }

    pub fn gps(&mut self) -> u32 {
        let entries = [
            (0, 1, 4, vec![2, 3, 0, 0]),
            self.ascii(1, "N"),
            self.rationals(2, &[(41, 1), (59, 1), (COORDINATE, 10_000_000)]),
            self.rationals(4, &[(12, 1), (20, 1), (COORDINATE, 10_000_000)]),
            self.ascii(0x1c, PLACE),
        ];
        self.ifd(&entries, 0)
    }
}

/// Returns EXIF as a camera writes it: IFD0, EXIF, GPS, a thumbnail in IFD1.
pub fn tiff(order: Order) -> Vec<u8> {
    tiff_with(order, |_| Vec::new())
}

/// Same as [`tiff`], with more entries in IFD0.
pub fn tiff_with(order: Order, more: impl FnOnce(&mut TiffBuilder) -> Vec<Entry>) -> Vec<u8> {
    let mut tiff = TiffBuilder::new(order);
    let gps = tiff.gps();
    let maker_note = (0x927c, 7, 20, b"MAKER\0note 012345678".to_vec());
    let exif_entries = [tiff.ascii(0x9003, "2024:05:06 07:08:09"), maker_note];
    let exif = tiff.ifd(&exif_entries, 0);
    let thumbnail = tiff.bytes.len() as u32;
    tiff.bytes.extend(jpeg(&[]));
    let length = tiff.bytes.len() as u32 - thumbnail;
    let thumbnail_entries = [tiff.long(0x0201, thumbnail), tiff.long(0x0202, length)];
    let ifd1 = tiff.ifd(&thumbnail_entries, 0);
    let mut entries = vec![
        tiff.ascii(0x010f, "Kamera"),
        (0x0112, 3, 1, tiff.u16(6)),
        tiff.ascii(0x8298, "Ann Example 2024"),
        tiff.long(0x8769, exif),
        tiff.long(0x8825, gps),
    ];
    entries.extend(more(&mut tiff));
    entries.sort_by_key(|entry| entry.0);
    let ifd0 = tiff.ifd(&entries, ifd1);
    tiff.finish(ifd0)
}

/// Returns a packet with `properties` inside its description.
pub fn xmp(attributes: &str, properties: &str) -> String {
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description rdf:about=\"\"\n\
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:exif=\"http://ns.adobe.com/exif/1.0/\"\n\
         xmlns:photoshop=\"http://ns.adobe.com/photoshop/1.0/\" dc:format=\"image/jpeg\" {attributes}>\n\
         <dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">A title</rdf:li></rdf:Alt></dc:title>\n{properties}\n\
         </rdf:Description></rdf:RDF></x:xmpmeta>\n    \n<?xpacket end=\"w\"?>"
    )
}

pub fn place_xmp() -> Vec<u8> {
    let attributes = format!("photoshop:City=\"{PLACE}\" exif:GPSLatitude=\"41,59.{COORDINATE}N\" photoshop:Headline=\"Head\"");
    xmp(&attributes, &format!("<exif:GPSLongitude>12,20.{COORDINATE}E</exif:GPSLongitude>")).into_bytes()
}

pub fn dataset(record: u8, number: u8, value: &str) -> Vec<u8> {
    [&[0x1c, record, number][..], &(value.len() as u16).to_be_bytes(), value.as_bytes()].concat()
}

pub fn iptc() -> Vec<u8> {
    let places = [26, 27, 90, 92, 95, 100, 101].map(|number| dataset(2, number, PLACE)).concat();
    [dataset(2, 5, "A title"), places, dataset(2, 120, "A caption"), dataset(2, 116, "Ann Example")].concat()
}

/// Returns what cleaning leaves of [`iptc`].
pub fn kept_iptc() -> Vec<u8> {
    [dataset(2, 5, "A title"), dataset(2, 120, "A caption"), dataset(2, 116, "Ann Example")].concat()
}

pub fn resource(id: u16, data: &[u8]) -> Vec<u8> {
    let mut resource = [b"8BIM", &id.to_be_bytes()[..], &[0, 0], &(data.len() as u32).to_be_bytes(), data].concat();
    resource.resize(resource.len().next_multiple_of(2), 0);
    resource
}

pub fn resources() -> Vec<u8> {
    let digest = Md5::digest(iptc());
    [
        resource(0x03ed, &[0, 72, 0, 0]),
        resource(0x0404, &iptc()),
        resource(0x0425, &digest),
        resource(0x0422, &tiff(Order::Big)),
        resource(0x0424, &place_xmp()),
        resource(0x040a, &[1]),
    ]
    .concat()
}

pub fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

pub fn app1(header: &str, body: &[u8]) -> Vec<u8> {
    segment(0xe1, &[header.as_bytes(), body].concat())
}

pub fn exif_segment(order: Order) -> Vec<u8> {
    app1("Exif\0\0", &tiff(order))
}

/// A scan with stuffed bytes and a restart marker, and the end of the image.
pub const SCAN: &[u8] = b"\xff\xda\x00\x04\x01\x00scan\xff\x00data\xff\xd0!\xff\xd9";

/// Returns a JPEG that cannot be decoded.
pub fn jpeg(segments: &[Vec<u8>]) -> Vec<u8> {
    [&[0xff, 0xd8][..], &segments.concat(), SCAN].concat()
}

pub fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(name);
    checksum.update(body);
    [&(body.len() as u32).to_be_bytes()[..], name, body, &checksum.sum().to_be_bytes()].concat()
}

pub fn zlib(text: &[u8]) -> Vec<u8> {
    super::super::inflate::deflate(text).expect("compression succeeds")
}

/// Returns an ImageMagick raw profile.
pub fn raw_profile(name: &str, profile: &[u8]) -> Vec<u8> {
    let digits: String = profile.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<&str> =
        digits.as_bytes().chunks(72).map(|line| std::str::from_utf8(line).expect("hexadecimal digits")).collect();
    format!("\n{name}\n{:8}\n{}\n", profile.len(), lines.join("\n")).into_bytes()
}

/// Returns an image that can be decoded, with `chunks` before its data and `after` after its end.
pub fn png(chunks: &[Vec<u8>], after: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut encoder = png::Encoder::new(&mut plain, 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&[1, 2, 3, 4, 5, 6])).expect("a small PNG");
    let (head, rest) = plain.split_at(33);
    [head, &chunks.concat(), rest, after].concat()
}

/// Returns an image of two frames that can be decoded, with `extensions` before the first frame.
pub fn gif(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut plain = Vec::new();
    let palette = [0, 0, 0, 255, 255, 255];
    let mut encoder = gif::Encoder::new(&mut plain, 2, 2, &palette).expect("a small GIF");
    for pixels in [[0, 1, 1, 0], [1, 0, 0, 1]] {
        let frame = gif::Frame { width: 2, height: 2, buffer: pixels.to_vec().into(), ..gif::Frame::default() };
        encoder.write_frame(&frame).expect("a small GIF");
    }
    drop(encoder);
    let (head, rest) = plain.split_at(13 + 6);
    [head, &extensions.concat(), rest].concat()
}

pub fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"WEBP", &chunks.concat()[..]].concat();
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

pub fn riff_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = [name, &(body.len() as u32).to_le_bytes()[..], body].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

pub fn mp4_box(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}
