internal import UVCore

/// Sockets that whoever started this process has opened for it: systemd's socket units, and all that follow sd_listen_fds(3).
///
/// The sockets are open before the daemon runs, and stay open while it restarts: no client is refused, and it needs no rights to open them.
public enum SocketActivation {
    /// A descriptor that was passed.
    public struct Passed: Sendable {
        /// As the socket's unit names it (`FileDescriptorName=`); `unknown` if names were not passed.
        public let name: String
        /// What it is, ``TCPListener/init(adopting:on:file:line:)`` and the like find out.
        public let descriptor: OwnedDescriptor
    }

    /// Takes the descriptors that were passed to this process (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES), and removes these variables, so that its children do not take them for theirs. Called
    /// again it gives none.
    ///
    /// To be called once, when the program begins: nothing else may read or change the environment meanwhile, and nothing else may have closed the descriptors. They are closed on exec from then on.
    /// - Returns: in their order; none if none were passed, or if they were meant for another process.
    /// - Throws: `LoopError` `.invalidState` if the variables contradict one another, or a descriptor is not open. Then none is touched.
    public static func descriptors() throws -> [Passed] {
        defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { Environment.remove(name) } }
        guard let process = Environment.value("LISTEN_PID"), let count = Environment.value("LISTEN_FDS") else { return [] }
        return try parse(
            process: process, count: count, names: Environment.value("LISTEN_FDNAMES"), ownProcess: Environment.processID, isOpen: Descriptor.isOpen
        ).map { name, number in
            do throws(UVError) {
                try Descriptor.closeOnExec(number)
            } catch {
                throw LoopError(error, "SocketActivation", on: "descriptor \(number)")
            }
            return Passed(name: name, descriptor: OwnedDescriptor(owning: number))
        }
    }

    /// The first descriptor that is passed.
    static let first: Int32 = 3

    static func parse(
        process: String, count: String, names: String?, ownProcess: Int32, isOpen: (Int32) -> Bool
    ) throws -> [(name: String, number: Int32)] {
        guard let process = Int32(process), process > 0 else {
            throw LoopError(.invalidState, "SocketActivation", on: "LISTEN_PID=\(process)", "it must be the number of a process")
        }
        if process != ownProcess { return [] }
        guard let total = Int32(count), total > 0, total < Int32.max - first else {
            throw LoopError(.invalidState, "SocketActivation", on: "LISTEN_FDS=\(count)", "it must be a number above 0")
        }
        var list = names?.split(separator: ":", omittingEmptySubsequences: false).map(String.init) ?? []
        if names != nil && list.count != Int(total) {
            throw LoopError(.invalidState, "SocketActivation", on: "LISTEN_FDNAMES=\(names ?? "")", "there are \(list.count) names for \(total) descriptors")
        }
        return try (0..<total).map { index in
            let number = first + index
            if !isOpen(number) {
                throw LoopError(.invalidState, "SocketActivation", on: "descriptor \(number)", "LISTEN_FDS says that it was passed, but it is not open")
            }
            if list.isEmpty { list = [String](repeating: "unknown", count: Int(total)) }
            return (list[Int(index)], number)
        }
    }
}
