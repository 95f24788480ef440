// What a CPU-only torch lacks to index fake CUDA tensors and to run autograd on them: a device guard
// and hooks that say "one CUDA device" and do nothing. Pinned memory is ordinary memory that is
// known to be pinned.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <map>
#include <mutex>
namespace {
std::mutex guarding;
std::map<uintptr_t, size_t> pinned;  // begin and size of every block
void release(void* begin) {
  {
    std::lock_guard<std::mutex> lock(guarding);
    pinned.erase(reinterpret_cast<uintptr_t>(begin));
  }
  c10::free_cpu(begin);
}
struct Pinned final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    void* begin = c10::alloc_cpu(size);
    std::lock_guard<std::mutex> lock(guarding);
    if (begin) pinned[reinterpret_cast<uintptr_t>(begin)] = size;
    return {begin, begin, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* target, const void* source, size_t size) const override {
    default_copy_data(target, source, size);
  }
};
Pinned allocator;
}
namespace at {
struct CUDAHooks : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex getCurrentDevice() const override { return 0; }
  DeviceIndex exchangeDevice(DeviceIndex d) const override { return d; }
  DeviceIndex maybeExchangeDevice(DeviceIndex d) const override { return d; }
  Allocator* getPinnedMemoryAllocator() const override { return &allocator; }
  bool isPinnedPtr(const void* data) const override {
    std::lock_guard<std::mutex> lock(guarding);
    auto after = pinned.upper_bound(reinterpret_cast<uintptr_t>(data));
    if (after == pinned.begin()) return false;
    --after;
    return reinterpret_cast<uintptr_t>(data) < after->first + after->second;
  }
};
REGISTER_CUDA_HOOKS(CUDAHooks)
}
namespace {
struct Guard final : public c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
  c10::Device exchangeDevice(c10::Device d) const override { return d; }
  c10::Device getDevice() const override { return c10::Device(c10::DeviceType::CUDA, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device d) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream getNewStream(c10::Device d, int) const override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream exchangeStream(c10::Stream s) const noexcept override { return s; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
}
C10_REGISTER_GUARD_IMPL(CUDA, Guard)
