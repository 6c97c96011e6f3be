internal import CLibUV
internal import Glibc

/// How a datagram socket is made.
public struct DatagramSetup: Sendable {
    public var reusesAddress = false
    public var reusesPort = false
    /// An IPv6 socket leaves IPv4 alone.
    public var isIPv6Only = true
    public var allowsBroadcast = false
    /// In bytes; nil is the system's own.
    public var receiveBuffer: Int32?
    public var sendBuffer: Int32?
    /// Errors that come back over the network are kept in a queue, with the address that they are about. Always on with a peer.
    public var keepsErrors = false
    /// With each datagram comes the address that it was sent to.
    public var tellsDestination = false

    public init() {}
}

/// What can be set on a datagram socket after it was made.
public enum DatagramOption: Sendable {
    /// Of what is sent to one machine.
    case hops
    case multicastHops
    /// Whether what is sent to a group comes back to this machine too.
    case multicastLoop
    /// The number of the interface that groups are sent to through; 0 is what the system's routes say.
    case multicastInterface
    case broadcast
    case receiveBuffer
    case sendBuffer
}

/// What came back about a datagram that was sent earlier.
public struct ReturnedError: Hashable, Sendable {
    public var error: UVError
    /// Where the datagram went.
    public var destination: SocketName?
    /// Who says so.
    public var reporter: SocketName?
    /// Found on this machine, by the call that sent it: who called has been told.
    public var isLocal = false
    /// How many bytes fit, if the datagram was too large.
    public var limit: Int?

    public init(error: UVError, destination: SocketName?) {
        self.error = error
        self.destination = destination
    }
}

extension UVError {
    /// libuv's code for an interface that is not there.
    public static var noSuchDevice: Int32 { UV_ENODEV.rawValue }

    /// It cannot be done now, without waiting.
    public var isTryAgain: Bool { code == UV_EAGAIN.rawValue }

    /// The system has no memory for it now, and does not say when it will have.
    public var isLackOfMemory: Bool { code == UV_ENOBUFS.rawValue || code == UV_ENOMEM.rawValue }

    /// What can come back over the network, from the peer's machine or from one on the way.
    public var isReturned: Bool {
        switch -code {
        case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT, EPROTO, EOPNOTSUPP, EACCES, EMSGSIZE: true
        default: false
        }
    }
}

extension Sockets {
    /// A datagram socket: non-blocking, closed on exec.
    ///
    /// - Parameter peer: only what it sends comes in, and errors about what is sent to it.
    public static func datagrams(at local: SocketName?, to peer: SocketName?, _ setup: DatagramSetup) throws(UVError) -> Descriptor {
        let isIPv6 = (peer ?? local)?.isIPv6 ?? false
        let number = socket(isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try check(number, "socket")
        let descriptor = Descriptor(owning: number)
        let level = Int32(isIPv6 ? IPPROTO_IPV6 : IPPROTO_IP)
        if setup.reusesAddress { try set(number, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR") }
        if setup.reusesPort { try set(number, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT") }
        if setup.allowsBroadcast { try set(number, SOL_SOCKET, SO_BROADCAST, 1, "setsockopt SO_BROADCAST") }
        if let size = setup.receiveBuffer { try set(number, SOL_SOCKET, SO_RCVBUF, size, "setsockopt SO_RCVBUF") }
        if let size = setup.sendBuffer { try set(number, SOL_SOCKET, SO_SNDBUF, size, "setsockopt SO_SNDBUF") }
        if isIPv6 { try set(number, level, IPV6_V6ONLY, setup.isIPv6Only ? 1 : 0, "setsockopt IPV6_V6ONLY") }
        if setup.keepsErrors || peer != nil {
            try set(number, level, isIPv6 ? IPV6_RECVERR : IP_RECVERR, 1, "setsockopt IP_RECVERR")
            // What an IPv4 peer of an IPv6 socket returns is kept by the IPv4 option.
            if isIPv6 && !setup.isIPv6Only { try set(number, Int32(IPPROTO_IP), IP_RECVERR, 1, "setsockopt IP_RECVERR") }
        }
        if setup.tellsDestination {
            try set(number, level, isIPv6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1, "setsockopt IP_PKTINFO")
        }
        // Otherwise every socket gets the groups that any other program of the machine has joined. IPv6 can do so only since Linux 4.20.
        do throws(UVError) {
            try set(number, level, isIPv6 ? IPV6_MULTICAST_ALL : IP_MULTICAST_ALL, 0, "setsockopt IP_MULTICAST_ALL")
        } catch {
            if -error.code != ENOPROTOOPT { throw error }
        }
        if let peer {
            if let local {
                // Between bind and connect anybody's datagrams would come in, and stay.
                try refuseAll(number)
                try bind(number, local)
            }
            try check(unsafe peer.withSystemAddress { unsafe Glibc.connect(number, $0, $1) }, "connect")
            if local != nil { try set(number, SOL_SOCKET, SO_DETACH_FILTER, 0, "setsockopt SO_DETACH_FILTER") }
        } else if let local {
            try bind(number, local)
        }
        return descriptor
    }

    private static func bind(_ descriptor: Int32, _ name: SocketName) throws(UVError) {
        try check(unsafe name.withSystemAddress { unsafe Glibc.bind(descriptor, $0, $1) }, "bind")
    }

    private static func refuseAll(_ descriptor: Int32) throws(UVError) {
        // One instruction, BPF_RET | BPF_K: keep 0 bytes of whatever comes.
        var nothing = clibuv_filter_step(code: 0x06, jump_true: 0, jump_false: 0, value: 0)
        let result = unsafe withUnsafeMutablePointer(to: &nothing) { steps in
            // SAFETY: the system copies both before it returns.
            var filter = unsafe clibuv_filter(length: 1, steps: steps)
            return unsafe setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, socklen_t(MemoryLayout<clibuv_filter>.size))
        }
        try check(result, "setsockopt SO_ATTACH_FILTER")
    }

    /// Sends one datagram, or fails: EAGAIN if there is no room for it now.
    public static func send(_ bytes: Span<UInt8>, to name: SocketName?, _ descriptor: Int32) throws(UVError) {
        while true {
            let flags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)
            let sent = unsafe bytes.withUnsafeBytes { bytes in
                guard let name else { return unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, flags) }
                return unsafe name.withSystemAddress { unsafe sendto(descriptor, bytes.baseAddress, bytes.count, flags, $0, $1) }
            }
            if sent >= 0 { return }
            if errno != EINTR { throw UVError(code: -errno, call: "sendto") }
        }
    }

    /// The oldest of the errors that were kept; nil if there is none.
    public static func takeReturnedError(_ descriptor: Int32) throws(UVError) -> ReturnedError? {
        var name = sockaddr_storage()
        var control = (
            UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0),
            UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0)
        )
        var message = unsafe msghdr()
        var found: ReturnedError?
        // SAFETY: the message points to the two variables for the time of these calls only, and says how long they are.
        let result = unsafe withUnsafeMutableBytes(of: &name) { name in
            unsafe withUnsafeMutableBytes(of: &control) { control in
                unsafe message.msg_name = name.baseAddress
                unsafe message.msg_namelen = socklen_t(name.count)
                unsafe message.msg_control = control.baseAddress
                unsafe message.msg_controllen = control.count
                let result = unsafe recvmsg(descriptor, &message, Int32(MSG_ERRQUEUE | MSG_DONTWAIT))
                if result >= 0 { unsafe found = returnedError(&message) }
                return result
            }
        }
        if result < 0 {
            if errno == EAGAIN { return nil }
            throw UVError(code: -errno, call: "recvmsg MSG_ERRQUEUE")
        }
        var returned = found ?? ReturnedError(error: UVError(code: -EIO, call: "recvmsg MSG_ERRQUEUE"), destination: nil)
        returned.destination = SocketName(name)
        return returned
    }

    private static func returnedError(_ message: inout msghdr) -> ReturnedError? {
        // SAFETY: the system has filled in the control data of the message, which says how long each part is; see linux/errqueue.h for what is in it.
        var next = unsafe clibuv_first_control(&message)
        while let control = unsafe next {
            let isError =
                unsafe (control.pointee.cmsg_level == Int32(IPPROTO_IP) && control.pointee.cmsg_type == IP_RECVERR)
                || (control.pointee.cmsg_level == Int32(IPPROTO_IPV6) && control.pointee.cmsg_type == IPV6_RECVERR)
            if isError, let data = unsafe clibuv_control_data(control), unsafe clibuv_control_length(control) >= 16 {
                let number = unsafe Int32(bitPattern: data.loadUnaligned(as: UInt32.self))
                let origin = unsafe data.loadUnaligned(fromByteOffset: 4, as: UInt8.self)
                let info = unsafe data.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
                let offender = unsafe UnsafeRawBufferPointer(start: data + 16, count: clibuv_control_length(control) - 16)
                var returned = ReturnedError(error: UVError(code: -number, call: "recvmsg MSG_ERRQUEUE"), destination: nil)
                returned.isLocal = origin == 1  // SO_EE_ORIGIN_LOCAL
                if !returned.isLocal { returned.reporter = unsafe SocketName(offender) }
                if number == EMSGSIZE { returned.limit = Int(info) }
                return returned
            }
            unsafe next = clibuv_next_control(&message, control)
        }
        return nil
    }

    /// How many datagrams the system has dropped since the socket was made, because its queue was full or their checksum was wrong. Counts to 2³², and then from 0.
    public static func droppedDatagrams(_ descriptor: Int32) throws(UVError) -> UInt32 {
        // As in linux/sock_diag.h: the ninth is SK_MEMINFO_DROPS.
        var figures = (UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0))
        var length = socklen_t(MemoryLayout.size(ofValue: figures))
        try check(unsafe getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, &figures, &length), "getsockopt SO_MEMINFO")
        return figures.8
    }

    /// The address that a connected socket sends to.
    public static func peerName(_ descriptor: Int32) throws(UVError) -> SocketName {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: `storage` is as long as `length` says; the pointer is not kept.
        try check(
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe getpeername(descriptor, $0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped, &length)
            }, "getpeername")
        guard let name = SocketName(storage) else { throw UVError(code: UV_EAFNOSUPPORT.rawValue, call: "getpeername") }
        return name
    }

    // MARK: options

    public static func set(_ option: DatagramOption, _ value: Int32, isIPv6: Bool, _ descriptor: Int32) throws(UVError) {
        if case .multicastInterface = option, !isIPv6 {
            var request = ip_mreqn()
            request.imr_ifindex = value
            try check(
                unsafe setsockopt(descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &request, socklen_t(MemoryLayout<ip_mreqn>.size)),
                "setsockopt IP_MULTICAST_IF")
            return
        }
        let (level, name, call) = constants(option, isIPv6)
        try set(descriptor, level, name, value, "setsockopt \(call)")
    }

    /// Buffer sizes as they were asked for: the system keeps twice as much, for what it has to note besides.
    public static func value(_ option: DatagramOption, isIPv6: Bool, _ descriptor: Int32) throws(UVError) -> Int32 {
        if case .multicastInterface = option, !isIPv6 {
            var request = ip_mreqn()
            var length = socklen_t(MemoryLayout<ip_mreqn>.size)
            // Answers with the address alone unless there is room for the rest, which Linux fills in since 6.1 only.
            try check(unsafe getsockopt(descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &request, &length), "getsockopt IP_MULTICAST_IF")
            return request.imr_ifindex
        }
        let (level, name, call) = constants(option, isIPv6)
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check(unsafe getsockopt(descriptor, level, name, &value, &length), "getsockopt \(call)")
        switch option {
        case .receiveBuffer, .sendBuffer: return value / 2
        default: return value
        }
    }

    private static func constants(_ option: DatagramOption, _ isIPv6: Bool) -> (level: Int32, name: Int32, call: String) {
        let four = Int32(IPPROTO_IP)
        let six = Int32(IPPROTO_IPV6)
        switch option {
        case .hops: return isIPv6 ? (six, IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS") : (four, IP_TTL, "IP_TTL")
        case .multicastHops: return isIPv6 ? (six, IPV6_MULTICAST_HOPS, "IPV6_MULTICAST_HOPS") : (four, IP_MULTICAST_TTL, "IP_MULTICAST_TTL")
        case .multicastLoop: return isIPv6 ? (six, IPV6_MULTICAST_LOOP, "IPV6_MULTICAST_LOOP") : (four, IP_MULTICAST_LOOP, "IP_MULTICAST_LOOP")
        case .multicastInterface: return isIPv6 ? (six, IPV6_MULTICAST_IF, "IPV6_MULTICAST_IF") : (four, IP_MULTICAST_IF, "IP_MULTICAST_IF")
        case .broadcast: return (SOL_SOCKET, SO_BROADCAST, "SO_BROADCAST")
        case .receiveBuffer: return (SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF")
        case .sendBuffer: return (SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF")
        }
    }

    /// Joins a group, or leaves it; with a source, only for what that sends.
    public static func setMembership(
        _ isMember: Bool, of group: SocketName, from source: SocketName?, interface: UInt32, _ descriptor: Int32
    ) throws(UVError) {
        let level = Int32(group.isIPv6 ? IPPROTO_IPV6 : IPPROTO_IP)
        if let source {
            var request = group_source_req()
            request.gsr_interface = interface
            request.gsr_group = group.storage
            request.gsr_source = source.storage
            let name = isMember ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP
            try check(
                unsafe setsockopt(descriptor, level, name, &request, socklen_t(MemoryLayout<group_source_req>.size)),
                isMember ? "setsockopt MCAST_JOIN_SOURCE_GROUP" : "setsockopt MCAST_LEAVE_SOURCE_GROUP")
        } else {
            var request = group_req()
            request.gr_interface = interface
            request.gr_group = group.storage
            let name = isMember ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP
            try check(
                unsafe setsockopt(descriptor, level, name, &request, socklen_t(MemoryLayout<group_req>.size)),
                isMember ? "setsockopt MCAST_JOIN_GROUP" : "setsockopt MCAST_LEAVE_GROUP")
        }
    }

    /// An interface's number; nil if the machine has none of that name.
    public static func interfaceNumber(_ name: String) -> UInt32? {
        if name.utf8.contains(0) { return nil }
        let number = unsafe if_nametoindex(name)
        return number == 0 ? nil : number
    }
}

/// Memory that datagrams are received into and sent from in one call each, shared by the sockets of a loop: nothing stays in it between calls.
@safe public final class DatagramMemory {
    /// So many datagrams are received or sent at once at most.
    public static let slots = 32
    /// So many bytes of each; more than fit in a datagram.
    public static let slotSize = 65_536
    private static let controlSize = 128

    // SAFETY: all allocated in init, freed in deinit; the headers point into the other blocks, and the system uses them for the time of a call only.
    // The bytes are touched, and thereby take memory, only as far as datagrams have filled them.
    private let bytes: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer
    private let names: UnsafeMutablePointer<sockaddr_storage>
    private let vectors: UnsafeMutablePointer<iovec>
    private let headers: UnsafeMutablePointer<clibuv_mmsghdr>

    public init() {
        let slots = DatagramMemory.slots
        unsafe bytes = .allocate(byteCount: slots * DatagramMemory.slotSize, alignment: 16)
        unsafe controls = .allocate(byteCount: slots * DatagramMemory.controlSize, alignment: 16)
        unsafe names = .allocate(capacity: slots)
        unsafe names.initialize(repeating: sockaddr_storage(), count: slots)
        unsafe vectors = .allocate(capacity: slots)
        unsafe headers = .allocate(capacity: slots)
        for slot in 0..<slots {
            unsafe (vectors + slot).initialize(to: iovec(iov_base: bytes + slot * DatagramMemory.slotSize, iov_len: 0))
            unsafe (headers + slot).initialize(to: clibuv_mmsghdr())
            unsafe headers[slot].msg_hdr.msg_iov = vectors + slot
            unsafe headers[slot].msg_hdr.msg_iovlen = 1
        }
    }

    deinit {
        unsafe bytes.deallocate()
        unsafe controls.deallocate()
        unsafe names.deallocate()
        unsafe vectors.deallocate()
        unsafe headers.deallocate()
    }

    // MARK: receiving

    /// Takes up to so many datagrams that are there, and keeps them until the next call of anything here; none is EAGAIN.
    ///
    /// - Parameter size: so many bytes of each are kept.
    public func receive(_ limit: Int, size: Int, withControl: Bool, _ descriptor: Int32) throws(UVError) -> Int {
        let count = min(limit, DatagramMemory.slots)
        for slot in 0..<count {
            unsafe vectors[slot].iov_len = min(size, DatagramMemory.slotSize)
            unsafe headers[slot].msg_hdr.msg_name = UnsafeMutableRawPointer(names + slot)
            unsafe headers[slot].msg_hdr.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
            unsafe headers[slot].msg_hdr.msg_control = withControl ? controls + slot * DatagramMemory.controlSize : nil
            unsafe headers[slot].msg_hdr.msg_controllen = withControl ? DatagramMemory.controlSize : 0
            unsafe headers[slot].msg_hdr.msg_flags = 0
        }
        // With MSG_TRUNC the length is that of the whole datagram, however much of it was kept.
        let flags = Int32(MSG_DONTWAIT | MSG_TRUNC)
        while true {
            let received = unsafe clibuv_recvmmsg(descriptor, headers, UInt32(count), flags, nil)
            if received >= 0 { return Int(received) }
            if errno != EINTR { throw UVError(code: -errno, call: "recvmmsg") }
        }
    }

    /// How long the datagram was when it came.
    public func fullSize(_ slot: Int) -> Int {
        precondition(slot >= 0 && slot < DatagramMemory.slots)
        return unsafe Int(headers[slot].msg_len)
    }

    /// What was kept of it.
    public func copy(_ slot: Int) -> [UInt8] {
        let count = min(fullSize(slot), unsafe vectors[slot].iov_len)
        if count == 0 { return [] }
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
            unsafe UnsafeMutableRawBufferPointer(target).copyMemory(
                from: UnsafeRawBufferPointer(start: bytes + slot * DatagramMemory.slotSize, count: count))
            initialized = count
        }
    }

    /// Nil if the system gave something else than an IP address.
    public func sender(_ slot: Int) -> SocketName? {
        precondition(slot >= 0 && slot < DatagramMemory.slots)
        return unsafe SocketName(names[slot])
    }

    /// The address that it was sent to, without its port, and the number of the interface that it came through.
    public func destination(_ slot: Int) -> (SocketName, interface: UInt32)? {
        precondition(slot >= 0 && slot < DatagramMemory.slots)
        // SAFETY: the system has filled in the control data of the header, which says how long each part is; for what is in it see ip(7), ipv6(7).
        var next = unsafe clibuv_first_control(&headers[slot].msg_hdr)
        while let control = unsafe next {
            guard let data = unsafe clibuv_control_data(control) else { return nil }
            let length = unsafe clibuv_control_length(control)
            if unsafe control.pointee.cmsg_level == Int32(IPPROTO_IP) && control.pointee.cmsg_type == IP_PKTINFO && length >= 12 {
                let address = unsafe UInt32(bigEndian: data.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
                return (SocketName(isIPv6: false, high: 0, low: UInt64(address), port: 0), unsafe data.loadUnaligned(as: UInt32.self))
            }
            if unsafe control.pointee.cmsg_level == Int32(IPPROTO_IPV6) && control.pointee.cmsg_type == IPV6_PKTINFO && length >= 20 {
                let high = unsafe UInt64(bigEndian: data.loadUnaligned(as: UInt64.self))
                let low = unsafe UInt64(bigEndian: data.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                let interface = unsafe data.loadUnaligned(fromByteOffset: 16, as: UInt32.self)
                var name = SocketName(isIPv6: true, high: high, low: low, port: 0)
                // Only what is local to a link has an interface in its name.
                if name.isLinkLocal { name.scope = interface }
                return (name, interface)
            }
            unsafe next = clibuv_next_control(&headers[slot].msg_hdr, control)
        }
        return nil
    }

    // MARK: sending

    /// Puts a datagram into a slot: slots are filled from 0 on, and sent together by `send`.
    public func fill(_ slot: Int, _ content: Span<UInt8>, to name: SocketName?) {
        precondition(slot >= 0 && slot < DatagramMemory.slots && content.count <= DatagramMemory.slotSize)
        unsafe content.withUnsafeBytes { content in
            if content.count > 0 {
                unsafe UnsafeMutableRawBufferPointer(start: bytes + slot * DatagramMemory.slotSize, count: content.count).copyMemory(from: content)
            }
        }
        unsafe vectors[slot].iov_len = content.count
        unsafe names[slot] = name?.storage ?? sockaddr_storage()
        unsafe headers[slot].msg_hdr.msg_name = name == nil ? nil : UnsafeMutableRawPointer(names + slot)
        unsafe headers[slot].msg_hdr.msg_namelen = name.map { socklen_t($0.isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size) } ?? 0
        unsafe headers[slot].msg_hdr.msg_control = nil
        unsafe headers[slot].msg_hdr.msg_controllen = 0
        unsafe headers[slot].msg_hdr.msg_flags = 0
    }

    /// Sends what is in the first slots, in order: how many went out. An error is about the first one, and none went out then.
    public func send(_ count: Int, _ descriptor: Int32) throws(UVError) -> Int {
        precondition(count > 0 && count <= DatagramMemory.slots)
        while true {
            let sent = unsafe clibuv_sendmmsg(descriptor, headers, UInt32(count), Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
            if sent >= 0 { return Int(sent) }
            if errno != EINTR { throw UVError(code: -errno, call: "sendmmsg") }
        }
    }
}

@available(*, unavailable)
extension DatagramMemory: Sendable {}

extension SocketName {
    /// IPv6's fe80::/10, and groups of that scope.
    var isLinkLocal: Bool { isIPv6 && (high >> 54 == 0x3fa || high >> 48 & 0xff0f == 0xff02) }

    /// An IPv4 address as an IPv6 socket writes it: ::ffff:a.b.c.d.
    public var mappedToIPv6: SocketName {
        isIPv6 ? self : SocketName(isIPv6: true, high: 0, low: 0xffff_0000_0000 | low, port: port)
    }

    /// Undoes `mappedToIPv6`; other addresses stay as they are.
    public var unmapped: SocketName {
        isIPv6 && high == 0 && low >> 32 == 0xffff ? SocketName(isIPv6: false, high: 0, low: low & 0xffff_ffff, port: port) : self
    }

    var storage: sockaddr_storage {
        var storage = sockaddr_storage()
        unsafe withSystemAddress { address, length in
            // SAFETY: a sockaddr_storage has room for each of them.
            unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(length))) }
        }
        return storage
    }

    /// From memory that may be too short for an address, or hold none: then it is nil.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var storage = sockaddr_storage()
        let count = min(bytes.count, MemoryLayout<sockaddr_storage>.size)
        // SAFETY: no more is copied than there is, and than there is room for; what is missing is zero.
        unsafe withUnsafeMutableBytes(of: &storage) { if count > 0 { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count])) } }
        self.init(storage)
    }
}
