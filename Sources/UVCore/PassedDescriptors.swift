internal import CLibUV
internal import Glibc

/// Descriptors that go through a Unix socket, with bytes: unix(7), SCM_RIGHTS.
extension Sockets {
    /// The kernel takes no more of them with one message.
    public static let maximumPassedDescriptors = 253

    public struct Arrival {
        /// Bytes; 0 is the end of the stream.
        public let count: Int
        /// The kernel has closed some descriptors, because there was no room for them in this process.
        public let hasLostDescriptors: Bool
    }

    /// Reads what is there into a chunk's free room, which there must be. Each descriptor that comes with the first of the bytes is given to `take`, closed on exec.
    ///
    /// The kernel does not read on past the next byte that has descriptors with it.
    public static func receive(_ socket: Int32, into chunk: UVChunk, _ take: (consuming Descriptor) -> Void) throws(UVError) -> Arrival {
        var numbers = [Int32](repeating: -1, count: maximumPassedDescriptors)
        let space = clibuv_rights_space(maximumPassedDescriptors)
        var flags: Int32 = 0
        var found = 0
        // SAFETY: the vector, the control buffer and the chunk's room stay where they are until recvmsg returns, and it keeps none of them; clibuv_get_rights writes no more
        // than there is room for. The control buffer is aligned as a cmsghdr is.
        let count = unsafe withUnsafeTemporaryAllocation(byteCount: space, alignment: 16) { control in
            let free = unsafe chunk.free
            var vector = unsafe iovec(iov_base: free.baseAddress, iov_len: free.count)
            return unsafe withUnsafeMutablePointer(to: &vector) { vector in
                var message = unsafe msghdr()
                unsafe message.msg_iov = vector
                unsafe message.msg_iovlen = 1
                unsafe message.msg_control = control.baseAddress
                unsafe message.msg_controllen = control.count
                var count = 0
                repeat {
                    unsafe count = recvmsg(socket, &message, Int32(MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
                } while count < 0 && errno == EINTR
                if count >= 0 {
                    unsafe flags = message.msg_flags
                    found = unsafe numbers.withUnsafeMutableBufferPointer { unsafe Int(clibuv_get_rights(&message, $0.baseAddress, $0.count)) }
                }
                return count
            }
        }
        if count < 0 { throw UVError(code: -errno, call: "recvmsg") }
        chunk.advance(by: count)
        for number in numbers[..<found] { take(Descriptor(owning: number)) }
        return Arrival(count: count, hasLostDescriptors: flags & Int32(MSG_CTRUNC) != 0)
    }

    /// Sends bytes, at least one, and with the first of them descriptors, which stay open here. How many of the bytes: 0 if nothing was sent, because the socket has no room.
    public static func send(_ socket: Int32, _ bytes: Span<UInt8>, with descriptors: [Int32] = []) throws(UVError) -> Int {
        let space = descriptors.isEmpty ? 0 : clibuv_rights_space(descriptors.count)
        // SAFETY: as in `receive`; sendmsg does not write to the bytes.
        let count = unsafe bytes.withUnsafeBytes { source in
            unsafe withUnsafeTemporaryAllocation(byteCount: max(space, 1), alignment: 16) { control in
                var vector = unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: source.baseAddress), iov_len: source.count)
                return unsafe withUnsafeMutablePointer(to: &vector) { vector in
                    var message = unsafe msghdr()
                    unsafe message.msg_iov = vector
                    unsafe message.msg_iovlen = 1
                    if space > 0 {
                        unsafe control.initializeMemory(as: UInt8.self, repeating: 0)
                        unsafe message.msg_control = control.baseAddress
                        unsafe message.msg_controllen = space
                        unsafe descriptors.withUnsafeBufferPointer { unsafe clibuv_put_rights(&message, $0.baseAddress, $0.count) }
                    }
                    var count = 0
                    repeat {
                        unsafe count = sendmsg(socket, &message, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
                    } while count < 0 && errno == EINTR
                    return count
                }
            }
        }
        if count >= 0 { return count }
        if errno == EAGAIN { return 0 }
        throw UVError(code: -errno, call: "sendmsg")
    }
}
