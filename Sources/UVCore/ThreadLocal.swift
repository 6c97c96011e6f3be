internal import Glibc

/// One object a thread, not retained: who sets it keeps it alive until it is set to something else.
public struct ThreadLocal<Object: AnyObject>: Sendable {
    @usableFromInline let slot = ThreadSlot()

    public init() {}

    @inlinable
    public var object: Object? {
        // SAFETY: the setter's caller keeps the object alive for as long as it is set.
        guard let pointer = unsafe slot.pointer else { return nil }
        return unsafe Unmanaged<Object>.fromOpaque(pointer).takeUnretainedValue()
    }

    @inlinable
    public func set(_ object: Object?) {
        unsafe slot.set(object.map { unsafe Unmanaged.passUnretained($0).toOpaque() })
    }
}

/// One pointer a thread. Not generic, so that the C library stays behind the fence.
@usableFromInline
struct ThreadSlot: Sendable {
    private let key: pthread_key_t

    init() {
        var key = pthread_key_t()
        let result = unsafe pthread_key_create(&key, nil)
        precondition(result == 0, "pthread_key_create: no key left (PTHREAD_KEYS_MAX)")
        self.key = key
    }

    @usableFromInline
    var pointer: UnsafeMutableRawPointer? { unsafe pthread_getspecific(key) }

    @usableFromInline
    func set(_ pointer: UnsafeMutableRawPointer?) { unsafe pthread_setspecific(key, pointer) }
}
