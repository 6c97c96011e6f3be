internal import CLibUV
internal import Glibc

/// What a Unix socket is bound to, as plain data: what the fence takes and gives instead of a `sockaddr_un`.
public struct UnixName: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// Bound to nothing, as most clients are.
        case unnamed
        /// A file of the type socket.
        case path
        /// A name of the kernel's own, without a file.
        case abstract
    }

    /// Bytes that fit: `sun_path` has 108, of which a path ends with a zero, and an abstract name begins with one.
    public static let maximumLength = 107

    public let kind: Kind
    /// Neither the zero after a path nor the one before an abstract name.
    public let bytes: [UInt8]

    public static let unnamed = UnixName(.unnamed, bytes: [])

    /// Nil if the system could not take it as it is: too long, a path that is empty or has a zero in it. An empty abstract name is none either: binding to one asks for
    /// any that is free.
    public init?(path bytes: [UInt8]) {
        if bytes.isEmpty || bytes.count > UnixName.maximumLength || bytes.contains(0) { return nil }
        self.init(.path, bytes: bytes)
    }

    public init?(abstract bytes: [UInt8]) {
        if bytes.isEmpty || bytes.count > UnixName.maximumLength { return nil }
        self.init(.abstract, bytes: bytes)
    }

    private init(_ kind: Kind, bytes: [UInt8]) {
        self.kind = kind
        self.bytes = bytes
    }

    // MARK: to and from the system's structure

    /// What the system has written, `length` bytes of it. Nil if it is of another family.
    init?(_ storage: sockaddr_storage, length: socklen_t) {
        guard Int32(storage.ss_family) == AF_UNIX else { return nil }
        let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? MemoryLayout<sa_family_t>.size
        let end = min(Int(length), MemoryLayout<sockaddr_un>.size)
        // SAFETY: a sockaddr_storage is longer than a sockaddr_un; the bytes are copied.
        let bytes = unsafe withUnsafeBytes(of: storage) { start < end ? unsafe [UInt8]($0[start..<end]) : [] }
        switch bytes.first {
        case nil: self = .unnamed
        case 0: self.init(.abstract, bytes: [UInt8](bytes.dropFirst()))
        // The kernel counts the zero, but need not have had room for one.
        default: self.init(.path, bytes: [UInt8](bytes.prefix { $0 != 0 }))
        }
    }

    func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? MemoryLayout<sa_family_t>.size
        let length =
            switch kind {
            case .unnamed: start
            case .path, .abstract: start + bytes.count + 1
            }
        // SAFETY: the initialisers let nothing in that does not fit, but for a path of 108 bytes that the system itself has shown, which then has no zero: neither it nor
        // anything else is written past the end. The pointer is not kept, and a sockaddr_un begins as a sockaddr does.
        return unsafe withUnsafeMutableBytes(of: &address) { memory in
            let first = kind == .abstract ? start + 1 : start
            for (index, byte) in bytes.enumerated() where first + index < memory.count { unsafe memory[first + index] = byte }
            return unsafe body(
                UnsafeRawPointer(memory.baseAddress.unsafelyUnwrapped).assumingMemoryBound(to: sockaddr.self), socklen_t(min(length, memory.count)))
        }
    }
}
