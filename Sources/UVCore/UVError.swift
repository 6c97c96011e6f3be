internal import CLibUV
internal import Glibc

/// A failed libuv or system call: the negative errno that libuv uses, and which call it was.
public struct UVError: Error, Hashable, CustomStringConvertible {
    /// libuv's code: a negated errno, or one of libuv's own (`UV_EOF`, `UV_EAI_…`).
    public let code: Int32
    /// The call that failed, as libuv or the man page names it.
    public let call: String

    public init(code: Int32, call: String) {
        self.code = code
        self.call = call
    }

    /// libuv's code for what was ended by closing it.
    public static var cancelled: Int32 { UV_ECANCELED.rawValue }

    public static func notSupported(_ call: String) -> UVError { UVError(code: UV_ENOTSUP.rawValue, call: call) }
    public static func addressInUse(_ call: String) -> UVError { UVError(code: UV_EADDRINUSE.rawValue, call: call) }
    public static func notASocket(_ call: String) -> UVError { UVError(code: UV_ENOTSOCK.rawValue, call: call) }
    public static func busy(_ call: String) -> UVError { UVError(code: UV_EBUSY.rawValue, call: call) }
    public static func tooManyDescriptors(_ call: String) -> UVError { UVError(code: -ETOOMANYREFS, call: call) }
    public static func nameTooLong(_ call: String) -> UVError { UVError(code: UV_ENAMETOOLONG.rawValue, call: call) }

    /// The codes of an address that this machine does not have, or of a family that it lacks.
    public static var unusableAddress: [Int32] { [UV_EADDRNOTAVAIL.rawValue, UV_EAFNOSUPPORT.rawValue] }

    // libuv does not know what unix(7) says to too many descriptors.

    /// The symbolic name, such as `ECONNREFUSED`.
    public var name: String {
        // SAFETY: libuv returns a static string for every known code; for an unknown one it leaks a copy, once a call.
        if code == -ETOOMANYREFS { return "ETOOMANYREFS" }
        return unsafe String(cString: uv_err_name(code))
    }

    /// The message, such as `connection refused`.
    public var message: String {
        // SAFETY: as in `name`.
        if code == -ETOOMANYREFS { return "too many descriptors" }
        return unsafe String(cString: uv_strerror(code))
    }

    public var description: String { "\(call): \(message) (\(name))" }

    /// Throws what a call reported, if it reported an error.
    @inlinable
    @discardableResult
    static func check(_ result: Int32, _ call: @autoclosure () -> String) throws(UVError) -> Int32 {
        if result < 0 { throw UVError(code: result, call: call()) }
        return result
    }
}
