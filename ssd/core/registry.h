#ifndef SSD_CORE_REGISTRY_H_
#define SSD_CORE_REGISTRY_H_

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {

// The options message that is set in a family's config (`oneof kind` or an extension).
// \error InvalidArgument if none, or more than one, is set; the message names `config`'s type and
// lists the members of the oneof.
absl::StatusOr<const google::protobuf::Message*> SetKind(const google::protobuf::Message& config);

// Maps options messages to the components of one family, e.g. SsdAnchorsOptions to
// SsdAnchorGenerator. Filled before main() by the SSD_REGISTER_... macros of the components that
// are linked; read-only after that.
//
// Interface is the family's base class; Context holds what a component needs beside its options.
template <typename Interface, typename Context>
class Registry {
 public:
  using Factory = std::function<absl::StatusOr<std::unique_ptr<Interface>>(
      const google::protobuf::Message& options, const Context& context)>;

  static Registry& Get() {
    static Registry* const registry = new Registry;
    return *registry;
  }

  // Dies if the options type already has a component.
  void Register(const google::protobuf::Descriptor* options, Factory factory) {
    CHECK(factories_.emplace(options->full_name(), std::move(factory)).second)
        << "two components are registered for " << options->full_name();
  }

  // Makes the component that `config` (a family message) names.
  // \error InvalidArgument if no kind is set, or from the component if its options are wrong.
  // \error NotFound if the component is not linked into this program; lists those that are.
  absl::StatusOr<std::unique_ptr<Interface>> Create(const google::protobuf::Message& config,
                                                    const Context& context) const {
    SSD_ASSIGN_OR_RETURN(const google::protobuf::Message* options, SetKind(config));
    const auto found = factories_.find(options->GetDescriptor()->full_name());
    if (found == factories_.end()) {
      return absl::NotFoundError(absl::StrCat(
          config.GetDescriptor()->full_name(), ": no component for ",
          options->GetDescriptor()->full_name(), " is linked into this program; linked are ",
          absl::StrJoin(Names(), ", "), ". Add its target to the program's deps."));
    }
    return found->second(*options, context);
  }

  // Full names of the registered options messages, sorted.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : factories_) names.push_back(entry.first);
    return names;
  }

 private:
  std::map<std::string, Factory> factories_;
};

// Registers Component under Options at start-up. Component has
//   static absl::StatusOr<std::unique_ptr<Interface>> Create(const Options&, const Context&);
// Families wrap this in a macro of their own (SSD_REGISTER_BACKBONE, ...).
template <typename Interface, typename Context, typename Options, typename Component>
struct Registration {
  Registration() {
    Registry<Interface, Context>::Get().Register(
        Options::descriptor(),
        [](const google::protobuf::Message& options,
           const Context& context) -> absl::StatusOr<std::unique_ptr<Interface>> {
          return Component::Create(static_cast<const Options&>(options), context);
        });
  }
};

}  // namespace ssd

#define SSD_REGISTER_COMPONENT_(Interface, Context, Options, Component)    \
  static const ::ssd::Registration<Interface, Context, Options, Component> \
      ssd_registration_of_##Component

#endif  // SSD_CORE_REGISTRY_H_
