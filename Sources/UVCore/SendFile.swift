internal import CLibUV
internal import Glibc

/// Files that are read without a stream.
public enum Files {
    public static func open(_ path: String) throws(UVError) -> Descriptor {
        // A pipe that nobody writes to must not block here.
        let number = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        try Sockets.check(number, "open")
        return Descriptor(owning: number)
    }

    public enum Sent {
        case bytes(Int)
        case wouldBlock
        /// The file has no more.
        case end
        /// The system cannot, with these two.
        case notSupported
    }

    /// sendfile(2).
    public static func send(_ file: Int32, at offset: Int64, count: Int, to socket: Int32) throws(UVError) -> Sent {
        while true {
            var position = off_t(offset)
            let sent = unsafe sendfile(socket, file, &position, count)
            if sent > 0 { return .bytes(sent) }
            if sent == 0 { return .end }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            case EINVAL, ENOSYS, EOPNOTSUPP, ESPIPE: return .notSupported
            default: throw UVError(code: -errno, call: "sendfile")
            }
        }
    }

    /// Fewer bytes than asked for at the end of the file only.
    public static func read(_ file: Int32, at offset: Int64, count: Int) throws(UVError) -> [UInt8] {
        if count <= 0 { return [] }
        var failure: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, length in
            while length < count {
                let got = unsafe pread(file, buffer.baseAddress.unsafelyUnwrapped + length, count - length, off_t(offset) + off_t(length))
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failure = errno }
                if got <= 0 { return }
                length += got
            }
        }
        if failure != 0 && bytes.isEmpty { throw UVError(code: -failure, call: "pread") }
        return bytes
    }

    public static func setPosition(_ file: Int32, _ offset: Int64) throws(UVError) {
        if lseek(file, off_t(offset), SEEK_SET) < 0 { throw UVError(code: -errno, call: "lseek") }
    }

    public static func position(_ file: Int32) throws(UVError) -> Int64 {
        let position = lseek(file, 0, SEEK_CUR)
        if position < 0 { throw UVError(code: -errno, call: "lseek") }
        return Int64(position)
    }
}
