// As in `ThreadLock`: whole-module builds see the structures through libuv's header, builds by file through Glibc.
internal import CLibUV
internal import Glibc

/// The system's own name look-up. It blocks, for as long as the system's configuration says: `/etc/nsswitch.conf`, `/etc/resolv.conf`.
public enum NameLookup {
    public enum Family: Hashable, Sendable {
        case any, ipv4, ipv6
    }

    /// What getaddrinfo(3) and getnameinfo(3) say.
    public struct Failure: Error, Hashable {
        /// `EAI_…`.
        public let code: Int32
        /// errno, if the code says that it is that; otherwise 0.
        public let systemCode: Int32

        init(code: Int32) {
            systemCode = code == EAI_SYSTEM ? errno : 0
            self.code = code
        }

        public static let notFound = Failure(code: EAI_NONAME)
        public static let temporary = Failure(code: EAI_AGAIN)
        public static let unsupportedFamily = Failure(code: EAI_FAMILY)

        public enum Kind: Hashable, Sendable { case notFound, temporary, other }

        public var kind: Kind {
            switch code {
            // EAI_NODATA, EAI_ADDRFAMILY: the name exists, without an address of the kind that was asked for. glibc shows them to some only.
            case EAI_NONAME, -5, -9: .notFound
            case EAI_AGAIN: .temporary
            default: .other
            }
        }

        /// The symbolic name, such as `EAI_NONAME`.
        public var name: String {
            switch code {
            case EAI_BADFLAGS: "EAI_BADFLAGS"
            case EAI_NONAME: "EAI_NONAME"
            case EAI_AGAIN: "EAI_AGAIN"
            case EAI_FAIL: "EAI_FAIL"
            case -5: "EAI_NODATA"
            case EAI_FAMILY: "EAI_FAMILY"
            case EAI_SOCKTYPE: "EAI_SOCKTYPE"
            case EAI_SERVICE: "EAI_SERVICE"
            case -9: "EAI_ADDRFAMILY"
            case EAI_MEMORY: "EAI_MEMORY"
            case EAI_SYSTEM: UVError(code: -systemCode, call: "").name
            case EAI_OVERFLOW: "EAI_OVERFLOW"
            default: "EAI \(code)"
            }
        }

        public var message: String {
            if code == EAI_SYSTEM { return UVError(code: -systemCode, call: "").message }
            // SAFETY: a static text for every code.
            guard let text = unsafe gai_strerror(code) else { return "unknown error" }
            let message = unsafe String(cString: text)
            return message.prefix(1).lowercased() + message.dropFirst()
        }
    }

    /// - Parameters:
    ///   - service: a name such as `https`, which says the port; nil leaves the port to the caller.
    ///   - onlyConfigured: no addresses of a family in which this machine has none itself.
    /// - Returns: addresses in the order that the system prefers (RFC 6724), possibly some of them twice.
    public static func addresses(
        host: String, service: String?, family: Family, onlyConfigured: Bool, canonicalName: Bool
    ) throws(Failure) -> (names: [SocketName], canonicalName: String?) {
        var hints = unsafe addrinfo()
        switch family {
        case .any:
            unsafe hints.ai_family = AF_UNSPEC
            // With one family asked for, a machine that has nothing but its loopback would be told that the name does not exist.
            if onlyConfigured { unsafe hints.ai_flags |= AI_ADDRCONFIG }
        case .ipv4: unsafe hints.ai_family = AF_INET
        case .ipv6: unsafe hints.ai_family = AF_INET6
        }
        if canonicalName { unsafe hints.ai_flags |= AI_CANONNAME }
        // Without this, each address comes once a kind of socket. A service may be known of one kind only.
        if service == nil { unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue) }
        var list: UnsafeMutablePointer<addrinfo>?
        let result = unsafe getaddrinfo(host, service, &hints, &list)
        if result != 0 { throw Failure(code: result) }
        // SAFETY: the list is getaddrinfo's until it is freed here; what is kept is copied.
        defer { unsafe freeaddrinfo(list) }
        var names: [SocketName] = []
        var canonical: String?
        var next = unsafe list
        while let entry = unsafe next {
            if let address = unsafe entry.pointee.ai_addr, let name = unsafe SocketName(address, length: entry.pointee.ai_addrlen) { names.append(name) }
            if canonical == nil, let name = unsafe entry.pointee.ai_canonname { canonical = unsafe String(cString: name) }
            unsafe next = entry.pointee.ai_next
        }
        return (names, canonical)
    }

    /// The name of an address.
    public static func host(of name: SocketName) throws(Failure) -> String {
        // One more than NI_MAXHOST, which not every header shows.
        var text = [CChar](repeating: 0, count: 1026)
        let result = unsafe name.withSystemAddress { address, length in
            unsafe getnameinfo(address, length, &text, socklen_t(text.count), nil, 0, NI_NAMEREQD)
        }
        if result != 0 { throw Failure(code: result) }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension SocketName {
    /// Nil for another family than IP.
    fileprivate init?(_ address: UnsafeMutablePointer<sockaddr>, length: socklen_t) {
        var storage = sockaddr_storage()
        let count = min(Int(length), MemoryLayout<sockaddr_storage>.size)
        // SAFETY: as many bytes as the system says that there are, at most as many as fit.
        unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: count)) }
        self.init(storage)
    }
}
